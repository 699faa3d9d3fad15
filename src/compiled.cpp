// The library mql4grec::compiled: what services ask for, and what isn't a template, compiled once.
#define MQL4GREC_DEFINITION
#include "mql4grec/core/detail/half.inl.hpp"
#include "mql4grec/quantize/sequence_key.inl.hpp"
#include "mql4grec/rank/fusion.inl.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/search/trie.inl.hpp"
#if MQL4GREC_HAS_JSON
#include "mql4grec/recommender_load.hpp"
#endif

template class mql4grec::recommender<>;
