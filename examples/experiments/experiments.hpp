#pragma once
// The tables of the program, one file each.
#include "lab.hpp"

namespace mql4grec::experiments {

experiment early_check();            ///< early: the first epochs beside the authors' log
experiment simple_baselines();       ///< baselines: popularity, transitions, SASRec
experiment task_ablation();          ///< tasks: next items, asymmetric, alignment; one modality or two
experiment model_growth();           ///< growth: quality by the number of parameters
experiment token_indices();          ///< indices: the text indices of one catalog
experiment domain_transfer();        ///< domains: every source and every target
experiment interference_remedies();  ///< interference: remedies against negative transfer
experiment few_users();              ///< users: zero-shot and few-shot
experiment quantizer_choices();      ///< quantizers: levels, quantizers, collision policies
experiment collision_stress();       ///< collisions: a catalog of two, five and ten times the items
experiment missing_content();        ///< missing: images or texts that are missing
experiment search_settings();        ///< search: beams, length of histories, fusion rules

}  // namespace mql4grec::experiments
