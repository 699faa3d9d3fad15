"""The model of training on many GPUs: known values, its limits, and errors of one line. scale_model.py MODEL.PY"""
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = sys.argv[1]


def run(*arguments):
    return subprocess.run([sys.executable, MODEL, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def rows(*arguments):
    done = run("--json", *arguments)
    check(done.returncode == 0, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(holds, *what):
    if not holds:
        raise AssertionError(" ".join(map(str, what)))


def near(a, b, tolerance=1e-9):
    return abs(a - b) <= tolerance * max(abs(a), abs(b))


def one_gpu_waits_for_nobody():
    shared, kept = rows("--gpus", 1, "--batches", 1000, "--assume", "update_seconds=0.001", "--assume", "example_seconds=1e-5")
    check(near(shared["update_ms"], 11) and near(shared["examples_per_second"], 1000 / 0.011) and shared["efficiency"] == 1, shared)
    check(shared["sum_share"] == 0 and shared["network_gigabytes_per_second"] == 0, shared)
    check({**shared, "table": ""} == {**kept, "table": ""}, shared, kept)


def a_sum_that_hides_nothing_costs_what_its_formula_says():
    # one bucket, no time for the backward pass: the sum begins when the computation has ended
    fixed = {"buckets": 1, "backward_share": 0, "parameters": 1e6, "gpus_per_host": 4, "host_latency": 1e-5, "host_bandwidth": 1e9, "network_latency": 1e-4,
             "network_bandwidth": 1e8, "update_seconds": 1e-3, "example_seconds": 0}
    assume = [part for name, value in fixed.items() for part in ("--assume", f"{name}={value}")]
    of = {row["gpus"]: row for row in rows("--gpus", "2,4,8", *assume)[3:]}
    check(near(of[2]["update_ms"], 1 + 2 * 0.01 + 4e6 / 1e9 * 1e3), of[2])
    check(near(of[4]["update_ms"], 1 + 4 * 0.01 + 1.5 * 4e6 / 1e9 * 1e3), of[4])
    check(near(of[8]["update_ms"], 1 + 4 * 0.01 + 6 + 2 * 0.1 + 1e6 / 1e8 * 1e3), of[8])
    shards = rows("--gpus", "2", *assume, "--assume", "shards=4")[1]
    check(near(shards["update_ms"], 1 + 2 * 0.01 + 4 + 2), "two shards on each GPU: twice the reduce-scatter", shards)


def overlap_hides_sums_up_to_the_last_bucket():
    first = lambda *more: rows("--gpus", 8, *more)[1]["update_ms"]
    alone = rows("--gpus", 1)[1]["update_ms"]
    check(alone < first() < first("--assume", "backward_share=0"), "some of the sum is hidden")
    check(first("--assume", "host_latency=0", "--assume", "host_bandwidth=1e30") == alone, "a network without cost")


def more_gpus_fail_more_often_and_share_the_moments():
    eight, many = rows("--gpus", "8,512")[2:]
    check(near(eight["hours_between_failures"], 64 * many["hours_between_failures"]) and many["lost_to_failures"] > eight["lost_to_failures"], eight, many)
    check(many["gigabytes_per_gpu_zero1"] < many["gigabytes_per_gpu"], many)


def a_fit_finds_what_made_the_measurements():
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "measured.jsonl"
        alpha, beta = 3e-5, 2e9
        file.write_text("".join(json.dumps({"ranks": p, "bytes": n, "seconds": 2 * math.log2(p) * alpha + 2 * n * (p - 1) / p / beta}) + "\n"
                                for p in (1, 2, 4) for n in (1e3, 1e5, 1e7) if p > 1) + '{"ranks": 1, "bytes": 8, "seconds": 1e-9}\n')
        found = json.loads(run("--fit", file, "--json").stdout)
        check(near(found["latency"], alpha, 1e-6) and near(found["bandwidth"], beta, 1e-6) and found["rows"] == 6 and found["largest_relative_error"] < 1e-6, found)
        for text, expected in (('{"ranks": 2}', "line 1"), ("[]", "line 1"), ('{"ranks": 2, "bytes": 8, "seconds": 1}', "at least two sizes")):
            file.write_text(text)
            wrong(run("--fit", file), expected)
        wrong(run("--fit", Path(folder) / "none"), "none")


def wrong(done, text):
    check(done.returncode != 0 and text in done.stderr and "Traceback" not in done.stderr, done.stderr)


def wrong_usage():
    wrong(run("--assume", "speed=3"), "'speed'")
    wrong(run("--assume", "shards=many"), "expected a number")
    wrong(run("--gpus", "0"), "at least 1")


def every_assumption_has_a_source():
    for name, entry in json.loads(Path(MODEL).with_name("scale.json").read_text(encoding="utf8")).items():
        check(set(entry) == {"value", "unit", "source"} and entry["source"], name, entry)


for test in (one_gpu_waits_for_nobody, a_sum_that_hides_nothing_costs_what_its_formula_says, overlap_hides_sums_up_to_the_last_bucket,
             more_gpus_fail_more_often_and_share_the_moments, a_fit_finds_what_made_the_measurements, wrong_usage, every_assumption_has_a_source):
    test()
    print("passed", test.__name__)
