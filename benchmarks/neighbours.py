#!/usr/bin/env python3
"""Two processes on the same cores: the speed that each keeps.

Runs benchmarks of a program alone, then twice at the same time, and alone again, and prints for each benchmark the rate
of each process as a share of the better rate alone. Threads that spin while they wait show as shares below 50 %, and as
more processor time of all threads for the same work, which other programs on the machine affect less.

    benchmarks/neighbours.py build/release/benchmarks/bench_t5 --filter 'training_step/2/32|beam_search/2/32/20'
"""
import argparse
import json
import statistics
import subprocess
import tempfile


def start(program, name_filter, repetitions, out):
    command = [program, f"--benchmark_filter={name_filter}", f"--benchmark_repetitions={repetitions}",
               f"--benchmark_out={out}", "--benchmark_out_format=json"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def result(out):
    """The median rate and the median processor time of an iteration in ms, by benchmark."""
    with open(out, encoding="utf-8") as file:
        runs = [run for run in json.load(file)["benchmarks"] if run["run_type"] == "iteration"]
    rates = {}
    for run in runs:
        rate = next(run[key] for key in ("examples/s", "users/s") if key in run)
        rates.setdefault(run["name"], []).append((rate, run["cpu_time"]))
    return {name: tuple(map(statistics.median, zip(*values))) for name, values in rates.items()}


def measure(args, copies):
    with tempfile.TemporaryDirectory() as directory:
        outs = [f"{directory}/{i}.json" for i in range(copies)]
        running = [start(args.program, args.filter, args.repetitions, out) for out in outs]
        for process in running:
            if process.wait() != 0:
                raise SystemExit(f"{args.program} failed")
        return [result(out) for out in outs]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--filter", default=".")
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    before, pair, after = measure(args, 1)[0], measure(args, 2), measure(args, 1)[0]
    for name in before:
        rate = max(before[name][0], after[name][0])
        work = min(before[name][1], after[name][1])
        shares = " and ".join(f"{each[name][0] / rate:.0%}" for each in pair)
        costs = " and ".join(f"{each[name][1] / work:.0%}" for each in pair)
        print(f"{name}: alone {before[name][0]:.1f} and {after[name][0]:.1f}/s; two at once {shares} of the speed each, "
              f"with {costs} of the processor time")


if __name__ == "__main__":
    main()
