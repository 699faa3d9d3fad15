#pragma once
// The readers of vocabularies, and the readers and writers of token indices. The value types (vocabulary.hpp,
// token_table.hpp) don't include JSON.
#include "mql4grec/language/index_shape.hpp"
#include "mql4grec/language/read_token_table.hpp"
#include "mql4grec/language/read_vocabulary.hpp"
