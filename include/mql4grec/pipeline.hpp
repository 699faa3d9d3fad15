#pragma once
/// Whole stages on files, as the program's commands run them: learn a translator and translate
/// features, read a dataset, train a run in a directory, evaluate it.
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/pipeline/train.hpp"
#include "mql4grec/pipeline/translate.hpp"
#include "mql4grec/pipeline/translator.hpp"
