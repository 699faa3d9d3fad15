"""prepare: raw files of every format become a dataset directory. prepare.py PROGRAM"""
import gzip
import hashlib
import html
import json
import os
import random
import resource
import subprocess
from pathlib import Path

from support import PROGRAM, check, check_done, check_one_line, files_of, main, run

ALL = ["--user-core", "0", "--item-core", "0"]


def available():
    Path("probe.csv").write_text("i,u,5,1\n")
    probe = run("prepare", "--ratings", "probe.csv", "--out", "Probe", *ALL)
    if "was built without" in probe.stderr:
        return "this build reads no raw files"
    check_done(probe)


def amazon_ratings(path, users=60, items=30, seed=1):
    """A gzip file of ratings without a header, in which some users and items have too few, and some ratings are repeated."""
    chance = random.Random(seed)
    rows = [(f"B{chance.randrange(items) ** 2 // items:09}", f"A{chance.randrange(users):013}", chance.randrange(40)) for _ in range(users * 9)]
    path.write_bytes(gzip.compress("".join(f"{i},{u},5.0,{t}\n" for i, u, t in rows).encode()))
    return rows


def expected(rows, core):
    """{user: [item, …]} of raw ids by the rules of the documentation, computed in the plainest way."""
    first = {}
    for item, user, time in rows:
        first.setdefault((user, item), time)
    kept = list(first.items())
    while True:
        users, items = {}, {}
        for (user, item), _ in kept:
            users[user] = users.get(user, 0) + 1
            items[item] = items.get(item, 0) + 1
        less = [r for r in kept if users[r[0][0]] >= core and items[r[0][1]] >= core]
        if len(less) == len(kept):
            break
        kept = less
    histories = {}
    for (user, item), time in kept:
        histories.setdefault(user, []).append((time, item))
    return {user: [item for _, item in sorted(items, key=lambda pair: pair[0])] for user, items in histories.items()}


def a_dataset_is_what_the_documentation_says():
    if reason := available():
        return reason
    rows = amazon_ratings(Path("ratings.csv.gz"))
    meta = [{"asin": f"B{i:09}", "title": html.escape(f"Item <b>{i}</b> \"é\""), "description": ["a<br>b"], "brand": "", "category": ["x"]} for i in range(30)]
    Path("meta.json").write_text("".join(f"{m if i % 2 else json.dumps(m)}\n" for i, m in enumerate(meta)))  # half of them Python literals
    done = check_done(run("prepare", "--ratings", "ratings.csv.gz", "--meta", "meta.json", "--out", "Shop", "--json", "result.json", "--export-recbole"))
    check("sparsity" in done.stdout and "Shop" in done.stdout, done.stdout)
    users, items = ([line.split("\t")[0] for line in Path(f"Shop/Shop.{name}").read_text().splitlines()] for name in ("user2id", "item2id"))
    histories = json.loads(Path("Shop/Shop.inter.json").read_text())
    found = {users[int(user)]: [items[item] for item in history] for user, history in histories.items()}
    check(found == expected(rows, 5), "other histories than the plain computation has")
    check(users == list(dict.fromkeys(u for _, u, _ in rows if u in found)), "users aren't numbered by their first appearance")
    texts = json.loads(Path("Shop/Shop.item.json").read_text())
    number = int(items[0][1:])
    check(texts["0"] == {"title": f"Item {number} \"é\"", "description": "a b", "brand": "", "categories": "x"}, texts["0"])
    result = json.loads(Path("result.json").read_text())
    check(result["users"] == len(found) and result["interactions"] == sum(map(len, found.values())), result)
    check(result["ratings"][0]["sha256"] == hashlib.sha256(Path("ratings.csv.gz").read_bytes()).hexdigest(), result)
    check(json.loads(Path("Shop/Shop.statistics.json").read_text()) | {"dataset": "Shop"} == result, result)
    check(not list(Path("Shop").glob(".*")), "something is left over")

    again = check_done(run("prepare", "--ratings", "Shop/Shop.inter", "--meta", "Shop/Shop.item", "--out", "Again", "--format", "recbole", "--quiet"))
    check(again.stderr == "", again.stderr)
    once = {users[int(user)]: [items[item] for item in history] for user, history in histories.items()}
    users, items = ([line.split("\t")[0] for line in Path(f"Again/Again.{name}").read_text().splitlines()] for name in ("user2id", "item2id"))
    twice = {users[int(user)]: [items[item] for item in history] for user, history in json.loads(Path("Again/Again.inter.json").read_text()).items()}
    check(once == twice, "RecBole's files are read back as other histories")


def bad_input_is_one_line_and_changes_nothing():
    if reason := available():
        return reason
    Path("good.csv").write_text("i,u,5,1\nj,u,5,2\n")
    check_done(run("prepare", "--ratings", "good.csv", "--out", "Shop", *ALL))
    before = files_of("Shop")
    Path("bad.csv").write_text("i,u,5,1\nj,u\n")
    Path("cut.gz").write_bytes(gzip.compress(b"i,u,5,1\n" * 1000)[:-9])
    Path("meta.json").write_text("{'asin': 'i'}\n{oops\n")
    for arguments, *names in (
            (["--ratings", "bad.csv"], "bad.csv, line 2", "has 2 fields"), (["--ratings", "cut.gz"], "cut.gz", "truncated"),
            (["--ratings", "none.csv"], "none.csv", "can't be opened"),
            (["--ratings", "good.csv", "--format", "movielens"], "good.csv", "amazon2018"),
            (["--ratings", "good.csv", "--meta", "meta.json"], "meta.json, line 2"),
            (["--ratings", "good.csv", "--images", "nowhere"], "nowhere", "directory"),
            (["--ratings", "good.csv", "--user-core", "9"], "good.csv", "no rating"),
            (["--ratings", "good.csv", "--meta", "good.csv"], "good.csv", "no column of items")):
        check_one_line(run("prepare", *arguments, "--out", "Shop", *([] if "--user-core" in arguments else ALL)), 1, *names)
        check_one_line(run("prepare", *arguments, "--out", "New", *([] if "--user-core" in arguments else ALL)), 1, *names)
    check(files_of("Shop") == before, "a run that failed changed the dataset")
    check(not Path("New").exists(), "a run that failed left a directory")
    check_one_line(run("prepare", "--ratings", "good.csv", "--out", "good.csv/Shop"), 1, "good.csv", "expected a directory")
    check_one_line(run("prepare", "--ratings", "good.csv,", "--out", "Shop"), 2, "--ratings", "between commas is empty")
    check_one_line(run("prepare", "--ratings", "good.csv", "--columns", "user", "--out", "Shop"), 2, "--columns", "'user'")


def other_item_numbers_are_refused_beside_an_index():
    if reason := available():
        return reason
    Path("old.csv").write_text("i,u,5,1\nj,u,5,2\n")
    Path("new.csv").write_text("j,u,5,2\ni,u,5,1\nk,u,5,3\n")
    check_done(run("prepare", "--ratings", "old.csv", "--out", "Shop", *ALL))
    Path("Shop/Shop.index_lemb.json").write_text("{}")
    before = files_of("Shop")
    check_one_line(run("prepare", "--ratings", "new.csv", "--out", "Shop", *ALL), 1, "Shop.index_lemb.json", "Shop.item2id")
    check(files_of("Shop") == before, "a refused run changed the dataset")
    check_done(run("prepare", "--ratings", "old.csv", "--out", "Shop", *ALL))  # the same numbers


def ids_that_do_not_match_are_counted_in_one_warning():
    if reason := available():
        return reason
    Path("ratings.csv").write_text("i,u,5,1\nj,u,5,2\nk,u,5,3\n")
    Path("meta.json").write_text('{"asin": "i", "title": "I"}\n{"asin": "J", "title": "J"}\n')
    Path("pictures").mkdir()
    for name in ("i.png", "J.png", "K.png"):
        Path(f"pictures/{name}").touch()
    done = check_done(run("prepare", "--ratings", "ratings.csv", "--meta", "meta.json", "--images", "pictures", "--out", "Shop", *ALL))
    warnings = [line for line in done.stderr.splitlines() if "warning" in line]
    check(warnings == ["mql4grec: warning: --meta: 2 of 3 items are not in the metadata, the first is 'j'",
                       "mql4grec: warning: --images: 2 pictures without an item in the dataset, the first is 'J.png'"], done.stderr)


def a_full_disk_leaves_no_half_written_dataset():
    if reason := available():
        return reason
    rows = amazon_ratings(Path("ratings.csv.gz"), users=300)
    largest = len("".join(f"{i},{u},5.0,{t}\n" for i, u, t in rows))

    def limited(size):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    words = ["prepare", "--ratings", "ratings.csv.gz", "--export-recbole", "--quiet", "--out"]
    failures = 0
    for size in range(0, largest, largest // 10):
        done = run(*words, "Shop", preexec_fn=limited(size))
        if done.returncode == 0:
            break
        failures += 1
        check_one_line(done, 1, "Shop", "File too large")
        check(not Path("Shop").exists(), "half-written:", files_of("Shop"))
    check(failures > 2 and Path("Shop/Shop.inter.json").exists(), "no run failed, or none succeeded:", failures)
    before = files_of("Shop")
    check_one_line(run(*words, "Shop", "--user-core", "2", preexec_fn=limited(1000)), 1, "Shop", "File too large")
    check(files_of("Shop") == before, "a run that failed changed the dataset")

    os.mkdir("small")
    mount = "mount -t tmpfs -o size=16k none small"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode != 0:
        return "a small file system can't be mounted"
    script = f'{mount} && "$0" "$@"; code=$?; ls -A small; exit $code'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, PROGRAM, *words, "small/Shop"], capture_output=True, text=True, timeout=60)
    check_one_line(done, 1, "small/Shop", "No space left")


main([a_dataset_is_what_the_documentation_says, bad_input_is_one_line_and_changes_nothing, other_item_numbers_are_refused_beside_an_index,
      ids_that_do_not_match_are_counted_in_one_warning, a_full_disk_leaves_no_half_written_dataset])
