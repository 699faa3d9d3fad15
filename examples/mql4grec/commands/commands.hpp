#pragma once
// The sub-commands, one file each.
#include <CLI/CLI.hpp>

namespace mql4grec::program {

// Each adds its sub-command to the parser. Parsing a command line that names it runs it and sets `status` to its exit
// code.
void add_prepare(CLI::App& program, int& status);
void add_embed(CLI::App& program, int& status);
void add_pretrain(CLI::App& program, int& status);
void add_finetune(CLI::App& program, int& status);
void add_evaluate(CLI::App& program, int& status);
void add_translate(CLI::App& program, int& status);
void add_recommend(CLI::App& program, int& status);
void add_serve(CLI::App& program, int& status);
void add_demo(CLI::App& program, int& status);

}  // namespace mql4grec::program
