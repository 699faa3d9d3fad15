"""The program of the experiments fills tables, keeps what it has, and refuses to mix results. experiments.py PROGRAM"""
import csv
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from support import PROGRAM, check, check_done, main

TINY = ("--users", "40", "--examples", "300", "--threads", "1")


def experiments(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=200)


def check_error(done, code, *names):
    check(done.returncode == code, "exit code", done.returncode, "expected", code, "\n", done.stderr)
    check(done.stderr.count("\n") == 1 and done.stderr.startswith("experiments: "), "expected one line, found:\n", done.stderr)
    for name in names:
        check(name in done.stderr, f"expected '{name}' in:", done.stderr)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def a_table_is_filled_once():
    check_done(experiments("tasks", "--out", "out", *TINY))
    rows = rows_of("out/tasks.csv")
    check([row["tasks"] for row in rows][:2] == ["next", "next + asymmetric"] and len(rows) == 7, rows)
    check(all(0 <= float(row["ndcg@10"]) <= 1 and float(row["valid_loss"]) > 0 for row in rows), rows)
    seen = [float(row["examples"]) for row in rows]
    check(max(seen) < 1.3 * min(seen), "about equally many examples for all tasks", seen)
    check(rows[0]["difference"] == "" and float(rows[1]["difference_low"]) <= float(rows[1]["difference_high"]), rows[:2])
    about = json.loads(Path("out/tasks.json").read_text())
    check(about["rows"] == about["planned"] == 7 and about["command"].startswith("experiments tasks --out out"), about)

    before = Path("out/tasks.csv").read_bytes()
    again = check_done(experiments("tasks", "--out", "out", *TINY))
    check("7 done" in again.stderr and Path("out/tasks.csv").read_bytes() == before, again.stderr)

    lines = before.decode().splitlines(keepends=True)
    Path("out/tasks.csv").write_text("".join(lines[:-1]))  # the models exist: the row is measured again, not trained
    check_done(experiments("tasks", "--out", "out", *TINY))
    check(Path("out/tasks.csv").read_bytes() == before, "another last row")


def an_interrupted_table_goes_on():
    process = subprocess.Popen([PROGRAM, "growth", "--out", "out", *TINY], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("growth 2/4"):
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stderr.read()
    check(process.wait(timeout=100) == 130, rest)
    check(len(rows_of("out/growth.csv")) < 4, "it had finished before the signal")
    check_done(experiments("growth", "--out", "out", *TINY))
    rows = rows_of("out/growth.csv")
    check(len(rows) == 4 and len({row["parameters"] for row in rows}) == 4, rows)
    check(len({row["examples"] for row in rows}) == 1, "equally many examples", rows)


def other_options_are_refused():
    check_done(experiments("growth", "--plan", "--out", "out", *TINY))
    check(not os.path.exists("out/growth.csv"), "a plan fills no table")
    check(not os.path.exists("out/settings.json"), "a plan decides nothing")
    check_done(experiments("indices", "--out", "out", *TINY))
    check_error(experiments("growth", "--plan", "--out", "out", "--users", "50"), 1, "settings.json", "users")
    check_error(experiments("growth", "--plan", "--out", "out", "--users", "40", "--threads", "1"), 1, "examples = 300, but these options have 120000")
    check_error(experiments("indices", "--plan", "--out", "out", "--model-size", "half", *TINY), 1, "model_size")
    settings, histories = Path("out/settings.json"), Path("out/data/Music/Music.inter.json")
    for path, change, complaint in ((settings, {"recipe": 0}, "recipe"), (histories, {"0": [0, 1, 2]}, "checksums")):
        content = path.read_text()
        path.write_text(json.dumps(json.loads(content) | change))
        check_error(experiments("growth", "--plan", "--out", "out", *TINY), 1, "settings.json", complaint)
        path.write_text(content)
    shutil.rmtree("out/runs")
    check_error(experiments("growth", "--plan", "--out", "out", "--users", "50"), 1, "settings.json", "users")
    settings.rename("settings.json")
    check_error(experiments("growth", "--plan", "--out", "out", *TINY), 1, "settings.json: is missing")
    Path("settings.json").rename(settings)
    Path("out/growth.csv").write_text("size,seed\nwhole,1\n")
    check_error(experiments("growth", "--out", "out", *TINY), 1, "growth.csv", "line 1")


def every_table_of_models_can_be_filled():
    tables = {"baselines": 12, "indices": 1, "search": 17, "users": 11, "interference": 26}
    absolute = os.path.abspath("out")
    check_done(experiments(*tables, "--out", absolute, *TINY))
    for name, count in tables.items():
        rows, about = rows_of(f"out/{name}.csv"), json.loads(Path(f"out/{name}.json").read_text())
        check(len(rows) == about["rows"] == about["planned"] == count, name, len(rows), about["planned"])
        check(all(0 <= float(row["ndcg@10"]) <= 1 for row in rows), name, rows)
        check(absolute not in about["command"], about["command"])


def models_have_the_size_that_was_asked_for():
    check_done(experiments("indices", "--model-size", "half", "--out", "half", *TINY))
    (config,) = Path("half/runs").glob("*/config.json")
    check(json.loads(config.read_text())["d_model"] == 32, config.read_text())
    check_error(experiments("growth", "--model-size", "half", "--out", "half", *TINY), 1, "growth: ", "--model-size")


def data_that_do_not_fit_are_refused():
    check_done(experiments("indices", "--plan", "--out", "out", *TINY))  # writes the built-in catalog
    check_error(experiments("early", "--plan", "--out", "out", *TINY), 1, "early: ", "Instruments", "built-in")

    # an index that was used is not exchanged
    other = Path("out/data/Kitchen/Kitchen.index_other.json")
    shutil.copy("out/data/Kitchen/Kitchen.index_lemb.json", other)
    check_done(experiments("indices", "--out", "out", *TINY))
    check([row["index"] for row in rows_of("out/indices.csv")] == ["lemb", "other"])
    content = other.read_text()
    swapped = json.loads(content)
    swapped["0"], swapped["1"] = swapped["1"], swapped["0"]
    other.write_text(json.dumps(swapped))
    check_error(experiments("indices", "--out", "out", *TINY), 1, "settings.json", "checksums")
    other.write_text(content)

    # tables that the data can't fill are left out aloud, or an error where they were asked for
    os.makedirs("here/Instruments")  # histories and indices without features
    for file in Path("out/data/Kitchen").glob("*.json"):
        shutil.copy(file, "here/Instruments/" + file.name.replace("Kitchen", "Instruments"))
    options = ("--plan", "--dataset", "here/Instruments", "--out", "real")
    lines = check_done(experiments("--quiet", *options, *TINY)).stderr.splitlines()
    left_out = ("early", "quantizers", "collisions", "interference")
    check(len(lines) == 4 and all(line.startswith(f"experiments: {name} is left out: ") for line, name in zip(lines, left_out)), lines)
    check_error(experiments("quantizers", *options, *TINY), 1, "Instruments.emb-<encoder>.npy")
    check_error(experiments("early", *options, *TINY), 1, "early: ", "all users")
    os.makedirs("here/Texts")  # without images
    for name in ("inter", "index_lemb"):
        shutil.copy(f"out/data/Kitchen/Kitchen.{name}.json", f"here/Texts/Texts.{name}.json")
    for table in ("missing", "tasks", "search"):
        check_error(experiments(table, "--plan", "--dataset", "here/Texts", "--out", "texts", *TINY), 1, table + ": ", "Texts.index_vitemb.json")
    check_error(experiments("early", *options, "--precision", "bf16"), 1, "early: ", "bf16", "fp32")

    # a damaged table ends the program, whether it was asked for or not
    Path("out/tasks.csv").write_text("tasks,seed\nnext,1\n")
    for tables in ((), ("tasks",)):
        done = experiments(*tables, "--plan", "--quiet", "--out", "out", *TINY)
        check(done.returncode == 1 and "tasks.csv" in done.stderr.splitlines()[-1], done.stderr)


def wrong_usage():
    check_error(experiments("nothing", "--out", "out"), 2, "nothing", "--list")
    check_error(experiments("tasks"), 2, "--out")
    check_error(experiments("tasks", "--out", "out", "--json", "-"), 2, "--json")
    check_error(experiments("users", "--out", "out", "--dataset", "here/Tiny", "--sources", "here/../here/Tiny"), 1, "target")
    check("tasks  " in check_done(experiments("--list")).stdout, "no list")


def codes_and_missing_content_are_consistent():
    check_done(experiments("quantizers", "missing", "--out", "out", *TINY))
    check_done(experiments("collisions", "--seeds", "2", "--out", "out", *TINY))
    for row in rows_of("out/quantizers.csv"):
        nearest, final = float(row["collision_rate_nearest"]), float(row["collision_rate"])
        check(final == (nearest if row["collisions"] == "none" else 0), row)
        check(0 < float(row["error"]) < 1 and 0 < float(row["codes_used"]) <= 1, row)
    rows = rows_of("out/collisions.csv")
    first, copies = ([row for row in rows if row[column] == value] for column, value in (("times", "1"), ("added", "copies")))
    check(len(first) == 6 and len({(row["seed"], row["ndcg@10"]) for row in first}) == 2, "a model of the original catalog for each seed:", first)
    check(len({row["error"] for row in first}) == 2, "a quantizer for each seed:", first)
    for row in copies:
        check(float(row["collision_rate_nearest"]) >= 1 - 1 / int(row["times"]), "copies share the nearest codes:", row)
        check(float(row["items"]) == float(first[0]["items"]) * int(row["times"]), row)
    rows = [row for row in rows_of("out/missing.csv") if row["percent"] == "0" and row["treatment"] in ("skipped", "filled in")]
    check(len(rows) == 4 and len({row["ndcg@10"] for row in rows}) == 1, "nothing is missing and nothing is filled in:", rows)


main([a_table_is_filled_once, an_interrupted_table_goes_on, other_options_are_refused, models_have_the_size_that_was_asked_for,
      codes_and_missing_content_are_consistent, every_table_of_models_can_be_filled, data_that_do_not_fit_are_refused,
      wrong_usage])
