#pragma once
// Everything of the language that comes from files; the value types beside it need no JSON.
#include "mql4grec/language/index_shape.hpp"
#include "mql4grec/language/read_token_table.hpp"
#include "mql4grec/language/read_vocabulary.hpp"
