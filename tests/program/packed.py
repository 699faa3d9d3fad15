"""prepare --pack: packed interactions are read by every command, with the same results. packed.py PROGRAM"""
import gzip
import json
from pathlib import Path

from support import check, check_done, check_one_line, main, run, training, write_dataset


def write_lines(dataset, parts):
    """The interactions of a dataset as JSON lines in parts, instead of JSON."""
    path = dataset / f"{dataset.name}.inter.json"
    histories = list(json.loads(path.read_text()).items())
    path.unlink()
    for part in range(parts):
        some = histories[len(histories) * part // parts : len(histories) * (part + 1) // parts]
        text = "".join(json.dumps({"user": user, "items": items}) + "\n" for user, items in some)
        (dataset / f"{dataset.name}.inter-{part + 1:05}-of-{parts:05}.jsonl").write_text(text)


def every_command_gives_the_same_results():
    results, sizes = [], []
    for form in ("json", "packed", "lines", "packed lines", "packed alone"):
        place = Path(form.replace(" ", "-"))
        dataset = write_dataset(place / "Tiny")
        if "lines" in form:
            write_lines(dataset, 3)
        if "packed" in form:
            done = check_done(run("prepare", "--pack", "--out", dataset, "--json", place / "packed.json"))
            packed = json.loads((place / "packed.json").read_text())["packed"]
            check(packed["users"] == 61 and packed["bytes"] == (dataset / "Tiny.inter.packed").stat().st_size, packed)
            check("packed" in done.stdout, done.stdout)
        if form == "packed alone":
            (dataset / "Tiny.inter.json").unlink()
        check_done(run(*training(dataset=dataset, init=None, out=place / "out", epochs=1)))
        check_done(run("pretrain", "--datasets", dataset, "--out", place / "before", "--epochs", "1", "--batch-size", "64", "--threads", "1"))
        evaluated = place / "evaluated.json"
        check_done(run("evaluate", "--dataset", dataset, "--model", place / "out", "--threads", "1", "--json", evaluated, "--baselines", "popularity"))
        best = check_done(run("recommend", "--dataset", dataset, "--model", place / "out", "--history", "1,4", "--threads", "1")).stdout
        models = [(place / name / "model.safetensors").read_bytes() for name in ("out", "before")]
        results.append((form, models, {k: v for k, v in json.loads(evaluated.read_text()).items() if "second" not in k and k != "model"}, best))
    for form, *result in results[1:]:
        for name, mine, first in zip(("models", "metrics", "recommendations"), result, results[0][1:]):
            check(mine == first, form, "has other", name)


def what_is_wrong_is_one_line():
    dataset = Path("Tiny")
    check_one_line(run("prepare", "--out", "Tiny"), 2, "--ratings, --pack or --pack-catalog")
    check_one_line(run("prepare", "--pack", "--meta", "m.json", "--out", "Tiny"), 2, "--meta", "--ratings")
    check_one_line(run("prepare", "--pack", "--out", "Nothing"), 1, "Nothing.inter.json", "is missing")
    check_done(run("prepare", "--pack", "--out", "Tiny", "--quiet"))
    packed = dataset / "Tiny.inter.packed"
    whole = packed.read_bytes()
    train = training(init=None, epochs=1)
    for place, what in ((0, "mqlinter"), (12, "version"), (20, "header is damaged"), (130, "items are damaged"), (len(whole) - 1, "keys are damaged")):
        packed.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        check_one_line(run(*train), 1, "Tiny.inter.packed", what)
    packed.write_bytes(whole[:-1])
    check_one_line(run(*train), 1, "Tiny.inter.packed", f"has {len(whole) - 1} bytes, expected {len(whole)}")
    packed.write_bytes(whole)
    text = dataset / "Tiny.inter.json"
    text.write_text(text.read_text() + "\n")
    check_one_line(run(*train), 1, "Tiny.inter.packed", "pack them again")
    (dataset / "Tiny.inter.jsonl").write_text('{"user": 1, "items": [1]}')
    check_one_line(run("prepare", "--pack", "--out", "Tiny"), 1, "both hold interactions")
    text.unlink()
    (dataset / "Tiny.inter.jsonl").write_text('{"user": 1, "items": [1]}\n{"user": 1, "items": [oops]}')
    check_one_line(run("prepare", "--pack", "--out", "Tiny"), 1, "Tiny.inter.jsonl", "line 2", "oops")
    check(packed.read_bytes() == whole, "a run that failed changed the packed file")


def a_packed_catalog_recommends_the_same():
    words = ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1,4,7", "--threads", "1", "--explain", "--new-items", "3"]
    before = check_done(run(*words)).stdout
    result = Path("result.json")
    check("packed 80 sequences of 40 items" in check_done(run("prepare", "--pack-catalog", "start", "--out", "Tiny", "--json", result)).stdout, "text")
    packed = json.loads(result.read_text())["packed_catalog"]
    file = Path("Tiny/Tiny.catalog.packed")
    check(packed["bytes"] == file.stat().st_size and packed["sequences"] == 80, packed)
    check(check_done(run(*words)).stdout == before, "other items are recommended")
    # An index that was only copied is the same; one with another content isn't, whatever its size.
    index = Path("Tiny/Tiny.index_lemb.json")
    text = index.read_text()
    index.write_text(text)
    check(check_done(run(*words)).stdout == before, "a copy isn't recognized")
    for other in (text.replace("<a_0>", "<a_1>", 1), text + "\n"):
        index.write_text(other)
        check_one_line(run(*words), 1, "Tiny.catalog.packed", "another Tiny.index_lemb.json", "pack it again")
    index.unlink()
    check(check_done(run(*words)).stdout == before, "without the index")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    check_one_line(run(*words), 1, "Tiny.catalog.packed", f"has {len(whole) - 1} bytes, expected {len(whole)}")
    file.write_bytes(whole[:130] + bytes([whole[130] ^ 1]) + whole[131:])
    check_one_line(run(*words), 1, "Tiny.catalog.packed", "the directory is damaged")
    damaged = len(whole) * 2 // 3  # a start doesn't read it
    file.write_bytes(whole[:damaged] + bytes([whole[damaged] ^ 1]) + whole[damaged + 1 :])
    check_one_line(run("prepare", "--check-catalog", "start", "--out", "Tiny"), 1, "Tiny.catalog.packed", "damaged")
    file.write_bytes(whole)
    check("is undamaged: 40 items" in check_done(run("prepare", "--check-catalog", "start", "--out", "Tiny")).stdout, "text")
    metadata = Path("start/mql4grec.json")
    metadata.write_text(metadata.read_text().replace('"prompts": 18', '"prompts": 17'))
    check_one_line(run(*words), 1, "Tiny.catalog.packed", "the vocabulary of another model")
    check_one_line(run("prepare", "--pack-catalog", "nothing", "--out", "Tiny"), 1, "nothing")
    check_one_line(run("prepare", "--pack-catalog", "start", "--ratings", "r.csv", "--out", "Tiny"), 2, "--pack-catalog")


def raw_files_are_packed_too():
    Path("ratings.csv.gz").write_bytes(gzip.compress("".join(f"i{n % 7},u{n // 7},5,{n}\n" for n in range(70)).encode()))
    words = ["prepare", "--ratings", "ratings.csv.gz", "--user-core", "0", "--item-core", "0"]
    if "was built without" in run(*words, "--out", "Probe").stderr:
        return "this build reads no raw files"
    result = Path("result.json")
    check_done(run(*words, "--pack", "--out", "Shop", "--json", result))
    packed = json.loads(result.read_text())["packed"]
    check(packed["users"] == 10 and packed["interactions"] == 70 and packed["times"], packed)
    check_done(run(*words, "--out", "Shop"))
    check(not Path("Shop/Shop.inter.packed").exists(), "the packed file of an earlier dataset remains")


main([every_command_gives_the_same_results, what_is_wrong_is_one_line, a_packed_catalog_recommends_the_same, raw_files_are_packed_too])
