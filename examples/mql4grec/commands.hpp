#pragma once
#include <CLI/CLI.hpp>

namespace mql4grec::program {

// Each adds its sub-command; when that is the one asked for, parsing runs it and leaves the exit code in `status`.
void add_pretrain(CLI::App& program, int& status);
void add_finetune(CLI::App& program, int& status);
void add_evaluate(CLI::App& program, int& status);
void add_translate(CLI::App& program, int& status);
void add_recommend(CLI::App& program, int& status);
void add_demo(CLI::App& program, int& status);

}  // namespace mql4grec::program
