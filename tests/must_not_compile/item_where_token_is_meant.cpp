// expect: cannot convert .*item_id.* to .*token_t|no viable conversion|no known conversion
#include "mql4grec/core/ids.hpp"

using namespace mql4grec;

index_t row_of(token_t token) { return index(token); }

#ifdef MQL4GREC_VALID
index_t row = row_of(token_t{3});
#else
index_t row = row_of(item_id{3});
#endif
