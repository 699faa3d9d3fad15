"""New items and missing content: splits by time, lists of new items, mixed histories. cold_items.py PROGRAM"""
import json
from pathlib import Path

from support import ITEMS, check, check_done, check_one_line, main, run, training

METRICS = ["users", "text", "image", "ensemble", "item_text", "item_image", "item_ensemble"]
EVALUATE = ["evaluate", "--dataset", "Tiny", "--model", "out", "--threads", 1, "--beams", 10]


def read(name):
    return json.loads(Path(f"Tiny/Tiny.{name}.json").read_text())


def write(name, value):
    Path(f"Tiny/Tiny.{name}.json").write_text(json.dumps(value))


def add_new_item():
    """Item ITEMS is bought once, and last; the last item of everybody is bought at time 100, the others before 10."""
    histories = read("inter") | {"first": [3, 8, ITEMS]}
    write("inter", histories)
    write("times", {user: [*range(len(items) - 1), 100] for user, items in histories.items()})
    for name, letters in (("index_lemb", "abcd"), ("index_vitemb", "ABCD")):
        write(name, read(name) | {str(ITEMS): [f"<{letter}_{code}>" for letter, code in zip(letters, (1, 0, 2, 1))]})
    return histories


def warm_and_cold_targets_are_measured_apart():
    histories = add_new_item()
    check_done(run(*training(epochs=1, until=50)))
    check(json.loads(Path("out/mql4grec.json").read_text())["until"] == 50, "until")
    done = check_done(run(*EVALUATE, "--split", "time", "--until", 50, "--new-items", "--json", "-"))
    check("--until" not in done.stderr, done.stderr)
    result = json.loads(done.stdout)
    check(result["split"] == "time" and result["until"] == 50 and result["users"] == len(histories), result)
    for group, users in (("warm", len(histories) - 1), ("cold", 1), ("drafted", 1)):
        check(list(result[group]) == METRICS and result[group]["users"] == users, group, result[group])
    check(result["drafted"]["item_ensemble"]["hit@1"] in (0, 1), result["drafted"])
    text = check_done(run(*EVALUATE, "--split", "time", "--until", 50)).stdout
    check("1 with a cold target" in text and "warm ensemble" in text and "drafted" not in text, text)
    check("warning" in run(*EVALUATE, "--split", "time", "--until", 3).stderr, "no warning of a model that knows more")
    check("without --until" in run(*[word if word != "out" else "start" for word in EVALUATE], "--split", "time", "--until", 50).stderr, "no warning")
    check("until" not in json.loads(check_done(run(*EVALUATE, "--json", "-")).stdout), "until without a split by time")
    check_one_line(run(*training(epochs=1, until=60, resume=True)), 1, "training.safetensors", "until = 50")


def times_that_are_missing_or_wrong_are_one_line():
    add_new_item()
    by_time = [*EVALUATE, "--split", "time", "--until"]
    check_done(run(*training(epochs=1, until=50)))
    check_one_line(run(*EVALUATE, "--split", "time"), 2, "--until")
    check_one_line(run(*EVALUATE, "--until", 50), 2, "--split time")
    check_one_line(run(*EVALUATE, "--new-items"), 2, "--split time")
    check_one_line(run(*by_time, 0), 1, "Tiny.times.json", "from 0 to 100")
    check_one_line(run(*by_time, 1e12), 1, "Tiny.times.json", "1000000000000")
    times = read("times")
    for change, names in (({"first": [1, 2]}, ["'first'", "3 times", "found 2"]), ({"nobody": [1]}, ["'nobody'"]),
                          ({"first": [1, "x", 3]}, ["'first'", "place 1"]), ({"first": [1, 3, 2]}, ["'first'", "place 2"])):
        write("times", times | change)
        check_one_line(run(*by_time, 50), 1, "Tiny.times.json", *names)
    Path("Tiny/Tiny.times.json").unlink()
    check_one_line(run(*by_time, 50), 1, "Tiny.times.json", "missing")
    check_one_line(run(*training(out="x", until=50)), 1, "Tiny.times.json", "missing")


def new_items_are_recommended_apart():
    histories = add_new_item()
    del histories["first"]
    write("inter", histories)
    recommend = ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "3,8", "--k", 3]
    result = json.loads(check_done(run(*recommend, "--new-items", 2, "--json", "-")).stdout)
    known = {item for items in histories.values() for item in items}
    check(list(result) == ["dataset", "history", "items", "new_items"], result)
    check(ITEMS in [entry["item"] for entry in result["new_items"]], result)
    check(not known & {entry["item"] for entry in result["new_items"]}, result)
    Path("deny.txt").write_text(f"{ITEMS}\n")
    denied = json.loads(check_done(run(*recommend, "--new-items", 2, "--deny", "deny.txt", "--json", "-")).stdout)
    check(ITEMS not in [entry["item"] for entry in denied["new_items"]], denied)
    Path("Tiny/Tiny.sets.json").write_text(json.dumps({"none": []}))
    ruled = json.loads(check_done(run(*recommend, "--new-items", 2, "--any-of", "none", "--json", "-")).stdout)
    check(ruled["items"] == ruled["new_items"] == [], ruled)
    check("new items" in check_done(run(*recommend, "--new-items", 2)).stdout, "text")
    check("new_items" not in json.loads(check_done(run(*recommend, "--json", "-")).stdout), "new_items")


def histories_with_missing_content_are_read():
    index = read("index_lemb")
    del index["3"], index["8"]
    write("index_lemb", index)
    recommend = lambda model, history, *more: json.loads(check_done(run("recommend", "--dataset", "Tiny", "--model", model, "--history", history, "--json", "-", *more)).stdout)["items"]
    check_done(run(*training(epochs=1, modality_dropout=0.3)))
    check(json.loads(Path("out/mql4grec.json").read_text())["modality_dropout"] == 0.3, "modality_dropout")
    check_one_line(run(*training(epochs=1, modality_dropout=0.5, resume=True)), 1, "modality_dropout = 0.3")
    check(recommend("out", "3,8") != recommend("out", ""), "a mixed history is read")
    check(recommend("start", "3,8", "--fill-in") != recommend("start", "3,8"), "a filled history is read")
    check(recommend("start", "5,6", "--fill-in") == recommend("start", "5,6"), "nothing to fill in")
    check_done(run("evaluate", "--dataset", "Tiny", "--model", "start", "--fill-in", "--threads", 1, "--beams", 5))
    check_done(run(*training(epochs=1, tasks="next", out="next")))
    check_one_line(run("evaluate", "--dataset", "Tiny", "--model", "next", "--fill-in"), 1, "alignment")
    check_one_line(run(*training(out="x", modality_dropout=2)), 2, "--modality-dropout")


main([warm_and_cold_targets_are_measured_apart, times_that_are_missing_or_wrong_are_one_line, new_items_are_recommended_apart,
      histories_with_missing_content_are_read])
