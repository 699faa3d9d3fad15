#pragma once
// The tables of the program, one file each.
#include "lab.hpp"

namespace mql4grec::experiments {

experiment early_check();      ///< early: the first epochs beside the authors' log
experiment task_ablation();    ///< tasks: next items, asymmetric, alignment; one modality or two
experiment model_growth();     ///< growth: quality by the number of parameters
experiment search_settings();  ///< search: beams, length of histories, fusion rules

}  // namespace mql4grec::experiments
