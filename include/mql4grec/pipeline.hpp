#pragma once
// Includes pipeline/: whole stages on files, as the program's commands run them. Requires nlohmann/json.
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/embed.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/pipeline/fill_in.hpp"
#include "mql4grec/pipeline/item_placer.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/pipeline/quantizer.hpp"
#include "mql4grec/pipeline/train.hpp"
#include "mql4grec/pipeline/translate.hpp"
