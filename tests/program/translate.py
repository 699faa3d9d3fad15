"""Features in, tokens out, and a model trained on them: the command translate. translate.py PROGRAM"""
import json
import signal
import subprocess
import time
from pathlib import Path

from features import translation, write_features
from support import ITEMS, PROGRAM, check, check_done, check_one_line, files_of, main, run


def every_item_gets_a_sequence_of_its_own_and_a_model_learns_them():
    write_features("F.npy", twins=[(9, 8), (17, 8)])
    write_features("G.npy", seed=6, zero=[3])
    done = check_done(run(*translation(json="result.json", report="page.html")))
    result = json.loads(Path("result.json").read_text())
    check(result["items"] == ITEMS and result["epochs"] == 12 and result["best_epoch"] >= 1, result)
    check(result["files"][0]["unique"] and result["files"][0]["collision_rate"] == 0 < result["files"][0]["collision_rate_before"], result)
    check("Tiny/Tiny.index_lemb.json" in done.stdout, done.stdout)
    check("<svg" in Path("page.html").read_text() and "Thing &lt;" in Path("page.html").read_text(), "the report has no chart or no titles")
    index = json.loads(Path("Tiny/Tiny.index_lemb.json").read_text())
    check(len(index) == ITEMS and len({tuple(tokens) for tokens in index.values()}) == ITEMS, index)
    check(all([t[:3] for t in tokens] == ["<a_", "<b_", "<c_", "<d_"] for tokens in index.values()), index)
    check_done(run(*translation("G.npy", "Tiny/Tiny.index_vitemb.json", "image", "images")))
    images = json.loads(Path("Tiny/Tiny.index_vitemb.json").read_text())
    check("3" not in images and len(images) == ITEMS - 1, images)
    check_done(run("finetune", "--dataset", "Tiny", "--init", "start", "--out", "out", "--epochs", 1, "--threads", 1))
    check_done(run("evaluate", "--dataset", "Tiny", "--model", "out", "--beams", 5, "--threads", 1))


def one_modality_is_enough():
    Path("Tiny/Tiny.index_vitemb.json").unlink()
    check_done(run("finetune", "--dataset", "Tiny", "--init", "start", "--out", "out", "--epochs", 1, "--threads", 1))
    done = check_done(run("evaluate", "--dataset", "Tiny", "--model", "out", "--beams", 5, "--threads", 1, "--json", "-"))
    result = json.loads(done.stdout)
    check(result["text"] == result["ensemble"] and result["image"] is None and result["item_image"] is None, result)
    Path("Tiny/Tiny.index_lemb.json").unlink()
    check_one_line(run("evaluate", "--dataset", "Tiny", "--model", "out"), 1, "Tiny.index_lemb.json", "Tiny.index_vitemb.json")


def one_translator_learns_from_several_files():
    write_features("F.npy")
    write_features("G.npy", rows=25, seed=6)
    result = json.loads(check_done(run(*translation("F.npy,G.npy", "f.json,g.json", json="-"))).stdout)
    check(result["items"] == ITEMS + 25 and [f["items"] for f in result["files"]] == [ITEMS, 25], result)
    check(len(json.loads(Path("g.json").read_text())) == 25, "g.json")
    check_one_line(run(*translation("F.npy,G.npy", "f.json", out="other")), 2, "--out-index", "1 file", "2 files")


def collisions_are_handled_as_asked():
    write_features("F.npy", twins=[(9, 8), (17, 8)])
    lengths = {"reallocate": (4, ITEMS), "match": (4, ITEMS), "suffix": (5, ITEMS), "none": (4, ITEMS - 2)}
    for how, (levels, most) in lengths.items():
        check_done(run(*translation(index=f"{how}.json", out=how, collisions=how)))
        sequences = [tuple(tokens) for tokens in json.loads(Path(f"{how}.json").read_text()).values()]
        check({len(s) for s in sequences} == {levels}, how, sequences)
        check(len(set(sequences)) == ITEMS if how != "none" else len(set(sequences)) <= most, how, sequences)


def items_that_come_later_get_tokens_and_others_keep_theirs():
    add = ["translate", "--embeddings", "F.npy", "--modality", "text", "--model", "translator", "--out-index", "index.json", "--threads", 1]
    write_features("F.npy")
    check_done(run(*translation(index="index.json")))
    before = json.loads(Path("index.json").read_text())
    twins = []  # the features of the first two new items, those of item 3
    write_features("F.npy", rows=ITEMS + 9, twins=[(ITEMS, 3), (ITEMS + 1, 3)], zero=[ITEMS + 2], change=lambda values: twins.extend(values[ITEMS : ITEMS + 2]))
    result = json.loads(check_done(run(*add, "--json", "-")).stdout)
    check(result["items"] == 8 and result["files"][0]["kept"] == ITEMS and "epochs" not in result, result)
    after = json.loads(Path("index.json").read_text())
    check({item: after[item] for item in before} == before, "an item has moved")
    check(len(after) == ITEMS + 8 and str(ITEMS + 2) not in after, after)
    check(len({tuple(tokens) for tokens in after.values()}) == ITEMS + 8, "items share tokens")
    old = Path("old.json")  # rows of items that have tokens aren't read
    old.write_text(json.dumps(before))
    write_features("F.npy", rows=ITEMS + 9, zero=[*range(ITEMS), ITEMS + 2], change=lambda values: values.__setitem__(slice(ITEMS, ITEMS + 2), twins))
    check_done(run(*[word if word != "index.json" else "old.json" for word in add]))
    check(json.loads(old.read_text()) == after, "rows of zeros have changed the index")
    for twin in (str(ITEMS), str(ITEMS + 1)):
        check(after[twin][:3] == after["3"][:3], after[twin], after["3"])
    write_features("F.npy", rows=ITEMS + 9, twins=[(ITEMS, 3), (ITEMS + 1, 3)], zero=[ITEMS + 2])
    content = Path("index.json").read_bytes()
    check_done(run(*add))
    check(Path("index.json").read_bytes() == content, "adding nothing has changed the index")
    check_one_line(run(*add, "--epochs", 3), 2, "--epochs", "--model")
    check_one_line(run(*add, "--collisions", "suffix"), 1, "index.json", "4 tokens", "5")
    check_one_line(run(*[word if word != "text" else "image" for word in add]), 1, "translator.json", "--modality")
    write_features("F.npy", rows=ITEMS)
    check_one_line(run(*add), 1, "index.json", f"item {ITEMS + 8}", f"{ITEMS} items")
    check(Path("index.json").read_bytes() == content, "a rejected run has changed the index")
    check_done(run(*[word if word != "index.json" else "new.json" for word in add]))
    check(json.loads(Path("new.json").read_text()).keys() == before.keys(), "new.json")


def an_interrupted_run_goes_on_to_the_same_bits():
    write_features("F.npy", rows=400)
    whole, pieces = translation(index="whole.json", out="whole", epochs=30), translation(index="pieces.json", out="pieces", epochs=30, resume=True)
    check_done(run(*whole))
    struck = 0
    for stop in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen([PROGRAM, *map(str, pieces)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(stop)
        process.stderr.read()
        code = process.wait(timeout=60)
        check(code in (0, -stop if stop == signal.SIGKILL else 130), "exit code", code)  # 0: it was faster
        struck += code != 0
    check(struck >= 1, "every run had ended before its signal")
    check_done(run(*pieces))
    check(Path("whole.json").read_text() == Path("pieces.json").read_text(), "the indices differ")
    check(Path("whole/model.safetensors").read_bytes() == Path("pieces/model.safetensors").read_bytes(), "the models differ")


def a_run_out_of_time_has_a_result():
    write_features("F.npy", rows=400)
    result = json.loads(check_done(run(*translation(index="index.json", out="part", epochs=30, max_seconds=0.001, json="-"))).stdout)
    check(result["files"] == [] and result["epochs"] < 30 and result["seconds"] > 0 and "reconstruction_error" not in result, result)
    check(not Path("index.json").exists(), "an index was written")


def bad_features_are_one_line_and_leave_nothing():
    before = files_of("Tiny")
    def refused(write, *names, **options):
        write()
        check_one_line(run(*translation(out="bad", **options)), 1, *names)
        check(not Path("bad/model.safetensors").exists(), "a model was written")
        check(files_of("Tiny") == before, "the dataset has changed")
    nan = lambda values: values[7].__setitem__(4, float("nan"))
    refused(lambda: write_features("F.npy", change=nan), "F.npy", "row 7", "column 4")
    refused(lambda: write_features("F.npy", change=lambda v: v[2].__setitem__(0, float("inf"))), "F.npy", "row 2")
    refused(lambda: write_features("F.npy", twins=[(i, 0) for i in range(ITEMS)]), "F.npy", "variance")
    refused(lambda: write_features("F.npy", zero=range(ITEMS)), "F.npy", "zeros")
    refused(lambda: write_features("F.npy", rows=5), "F.npy", "5 rows", "6 codes", "--codes 5")
    refused(lambda: write_features("F.npy", twins=[(i, i % 3) for i in range(3, ITEMS)]), "F.npy", "3 rows", "differ", "--codes 3")
    refused(lambda: write_features("F.npy", zero=range(4, ITEMS)), "F.npy", "4 rows", "--codes 4", quantizer="residual-kmeans", epochs=None, batch_size=None, evaluate_every=None)
    refused(lambda: Path("F.npy").write_bytes(b"not numpy at all"), "F.npy")
    refused(lambda: Path("F.npy").write_bytes(b""), "F.npy")
    refused(lambda: Path("F.npy").unlink(), "F.npy")
    write_features("F.npy")
    whole = Path("F.npy").read_bytes()
    refused(lambda: Path("F.npy").write_bytes(whole[:-4]), "F.npy", "bytes")
    refused(lambda: Path("F.npy").write_bytes(whole.replace(b"False", b"True ")), "F.npy", "fortran_order")
    write_features("F.npy", twins=[(i, 0) for i in range(1, 30)])
    check_one_line(run(*translation(out="full", levels=1, codes=6)), 1, "--levels", "40 items")  # and six sequences
    check(files_of("Tiny") == before, "the dataset has changed")


def a_codebook_that_collapses_is_an_error_at_any_size():
    """One damaged row among many has a code of its own at every level, and all others share another."""
    write_features("F.npy", rows=200, change=lambda values: values.__setitem__(7, [1e6 * x for x in values[7]]))
    for codes, epochs in ((6, 40), (32, 40), (6, 12)):  # noticed in time, and at the end of a run too short for that
        done = run(*translation(codes=codes, epochs=epochs, out=f"bad-{codes}-{epochs}"), "--quiet")
        check_one_line(done, 1, "collapsed", f"of {codes} (perplexity ")


main([every_item_gets_a_sequence_of_its_own_and_a_model_learns_them, one_modality_is_enough, one_translator_learns_from_several_files,
      collisions_are_handled_as_asked,
      items_that_come_later_get_tokens_and_others_keep_theirs, an_interrupted_run_goes_on_to_the_same_bits, a_run_out_of_time_has_a_result, bad_features_are_one_line_and_leave_nothing,
      a_codebook_that_collapses_is_an_error_at_any_size])
