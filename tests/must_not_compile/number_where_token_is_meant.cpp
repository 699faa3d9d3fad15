// expect: cannot convert .*int.* to .*token_t|cannot initialize
#include "mql4grec/core/ids.hpp"

using namespace mql4grec;

// A number becomes a token only by an explicit conversion.
#ifdef MQL4GREC_VALID
token_t end_token = token_t{1};
#else
token_t end_token = 1;
#endif
