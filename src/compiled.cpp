// The library mql4grec::compiled: what services ask for, and what takes the heaviest headers, compiled once.
#include "mql4grec/backend/cpu/procrustes_by_eigen.hpp"
#include "mql4grec/recommender.hpp"
#if MQL4GREC_HAS_JSON
#include "mql4grec/recommender_load.hpp"
#endif

template void mql4grec::cpu::procrustes_rotation<float>(backend&, in_matrix<backend, float>, out_matrix<backend, float>);
template void mql4grec::cpu::procrustes_rotation<double>(backend&, in_matrix<backend, double>, out_matrix<backend, double>);

template class mql4grec::recommender<>;
