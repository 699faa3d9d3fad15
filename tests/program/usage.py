"""Help, version and wrong usage: exit codes, and where the words go. usage.py PROGRAM"""
import os

from support import check, check_done, check_one_line, main, run

COMMANDS = ["prepare", "embed", "translate", "pretrain", "finetune", "evaluate", "recommend", "demo"]


def help_and_version_go_to_standard_output():
    overview = check_done(run("--help"))
    check(overview.stderr == "", overview.stderr)
    for command in COMMANDS:
        check(f"  {command} " in overview.stdout, command, "is missing in --help")
        own = check_done(run(command, "--help"))
        check(own.stderr == "" and "--json" in own.stdout, own.stdout, own.stderr)
        for option in ("--backend", "--device", "--precision", "--threads", "--quiet", "--version"):
            check(option in own.stdout, option, "is missing in the help of", command)
    for words in (["--version"], ["finetune", "--version"]):
        version = check_done(run(*words))
        check(version.stdout.startswith("mql4grec 0.") and version.stdout.count("\n") == 1, version.stdout)


def wrong_usage_is_exit_2_and_one_line():
    good = ["evaluate", "--dataset", "Tiny", "--model", "start"]
    wrong = {
        "": [], "bogus": ["bogus"], "--bogus": [*good, "--bogus"], "extra": [*good, "extra"], "--dataset": ["finetune", "--out", "x"],
        "--out": ["finetune", "--dataset", "Tiny"], "--epochs": ["finetune", "--dataset", "Tiny", "--out", "x", "--epochs", "0"],
        "--lr": ["finetune", "--dataset", "Tiny", "--out", "x", "--lr", "-1"], "--tasks": ["finetune", "--dataset", "Tiny", "--out", "x", "--tasks", "some"],
        "--seed": ["finetune", "--dataset", "Tiny", "--out", "x", "--seed", "one"], "--datasets": ["pretrain", "--datasets", "Tiny,", "--out", "x"],
        "--split": [*good, "--split", "train"], "--beams": [*good, "--beams", "0"], "--normalize": [*good, "--normalize", "half"],
        "--threads": [*good, "--threads", "0"], "--backend": [*good, "--backend", "tpu"], "--precision": [*good, "--precision", "fp8"], "--device": [*good, "--device", "-1"],
        "--replay": ["finetune", "--dataset", "Tiny", "--out", "x", "--replay", "Tiny,"],
        "--fields": ["embed", "--dataset", "Tiny", "--modality", "text", "--encoder", "e", "--out", "x.npy", "--fields", "title,price"],
        "--out-index": ["translate", "--embeddings", "F.npy", "--modality", "text", "--out-model", "x", "--out-index", "a.json,b.json"],
        "--embeddings": ["translate", "--embeddings", "F.npy,", "--modality", "text", "--out-model", "x", "--out-index", "a.json,b.json"],
        "'x'": ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1,x"], "''": ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1,"],
        "--k": ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1", "--k", "0"],
    }
    for name, arguments in wrong.items():
        check_one_line(run(*arguments), 2, name)


def what_this_build_has_not_got_is_exit_1():
    for command in (["finetune", "--dataset", "Tiny", "--out", "x"], ["evaluate", "--dataset", "Tiny", "--model", "start"],
                    ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1"], ["demo", "--out", "x"]):
        hidden = run(*command, "--backend", "gpu", env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
        check_one_line(hidden, 1, "GPU")  # no backend in this build, or no GPU that the process may use


def an_unknown_instruction_set_is_exit_1():
    command = ["finetune", "--dataset", "Tiny", "--out", "x"]
    check_one_line(run(*command, env={**os.environ, "MQL4GREC_MAX_INSTRUCTION_SET": "sse"}), 1, "MQL4GREC_MAX_INSTRUCTION_SET")


main([help_and_version_go_to_standard_output, wrong_usage_is_exit_2_and_one_line, what_this_build_has_not_got_is_exit_1,
      an_unknown_instruction_set_is_exit_1])
