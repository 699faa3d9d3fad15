"""Indices of any shape: what translate writes, by either quantizer, finetune learns and evaluate and recommend read. shapes.py PROGRAM"""
import json
from pathlib import Path

from features import translation, write_features
from support import ITEMS, check, check_done, check_one_line, files_of, main, run, write_dataset

TEXT, IMAGES = "Tiny/Tiny.index_lemb.json", "Tiny/Tiny.index_vitemb.json"


def words_of(directory):
    return [family["codes"] for family in json.loads(Path(directory, "mql4grec.json").read_text())["modalities"]]


def learn(out="out", dataset="Tiny", **more):
    """A new model of the paper's size, stopped after its first update."""
    options = {"dataset": dataset, "out": out, "epochs": 1, "batch_size": 512, "max_seconds": 0.001, "threads": 1} | more
    return ["finetune"] + [word for name, value in options.items() for word in ([f"--{name.replace('_', '-')}"] + ([] if value is True else [value]))]


def recommend_once(model="out", dataset="Tiny"):
    done = check_done(run("evaluate", "--dataset", dataset, "--model", model, "--beams", 5, "--users", 4, "--threads", 1, "--json", "-"))
    check(json.loads(done.stdout)["users"] == 4, done.stdout)
    best = json.loads(check_done(run("recommend", "--dataset", dataset, "--model", model, "--history", "1,2", "--json", "-")).stdout)
    check(len(best["items"]) == 10, best)


def levels_of_any_number_and_a_suffix():
    write_features("F.npy", twins=[(9, 8), (17, 8)])
    check_done(run(*translation(levels=3)))
    check_done(run(*translation(index=IMAGES, modality="image", out="images", levels=2, collisions="suffix")))
    done = check_done(run(*learn()))
    text, images = words_of("out")
    check(len(text) == 3 and max(text) <= 6 and len(images) == 3 and images[2] >= 3, text, images)  # three twins: a suffix up to 2
    check("tokens:" in done.stderr and "3 levels" in done.stderr, done.stderr)
    recommend_once()
    check_done(run(*learn(resume=True)))
    check_done(run(*learn(out="again", init="out")))
    check(words_of("again") == [text, images], words_of("again"))


def more_codes_than_the_paper_has():
    index = json.loads(Path(TEXT).read_text())
    Path(TEXT).write_text(json.dumps(index | {"7": ["<a_511>", "<b_0>", "<c_1>", "<d_2>"]}))
    check_done(run(*learn()))
    check(words_of("out") == [[512, 8, 3, 5], [256] * 4], words_of("out"))
    recommend_once()


def the_paper_s_shape_keeps_the_paper_s_words():
    done = check_done(run(*learn()))
    check(words_of("out") == [[256] * 4] * 2 and "tokens:" not in done.stderr, words_of("out"), done.stderr)


def domains_of_a_run_share_their_words():
    write_dataset(Path("Other/Small"), seed=3)
    for name in ("Tiny/Tiny", "Other/Small/Small"):
        index = json.loads(Path(f"{name}.index_lemb.json").read_text())
        Path(f"{name}.index_lemb.json").write_text(json.dumps({item: tokens + [f"<e_{len(name) % 7}>"] for item, tokens in index.items()}))
    check_done(run("pretrain", "--datasets", "Tiny,Other/Small", "--out", "both", "--max-seconds", 0.001, "--threads", 1))
    check(words_of("both")[0] == [5, 8, 3, 5, max(len("Tiny/Tiny") % 7, len("Other/Small/Small") % 7) + 1], words_of("both"))
    recommend_once("both", "Other/Small")
    Path("Other/Small/Small.index_lemb.json").write_text('{"5": ["<a_1>", "<b_1>"]}')
    check_one_line(run("pretrain", "--datasets", "Tiny,Other/Small", "--out", "x"), 1, "Small.index_lemb.json", "item 5 has 2 tokens", "expected 5", "Tiny.index_lemb.json")


def a_dataset_that_speaks_other_words_than_the_model_is_one_line():
    before = files_of(".")
    for tokens, *names in ((["<a_1>"] , "item 3 has 1 tokens", "expected 4"), (["<a_1>", "<b_0>", "<c_8>", "<d_1>"], "item 3", "<c_8>", "expected <c_0> to <c_7>"),
                           (["<a_1>", "<b_0>", "<c_1>", "<d_1>", "<e_0>"], "item 3 has 5 tokens", "expected 4")):
        index = json.loads(before["Tiny/Tiny.index_lemb.json"])
        Path(TEXT).write_text(json.dumps(index | {"3": tokens}))
        for command in (["evaluate", "--dataset", "Tiny", "--model", "start"], ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1"], learn(init="start")):
            check_one_line(run(*command), 1, "Tiny.index_lemb.json", *names)
    Path(TEXT).write_text(json.dumps(index | {"3": ["<a_1>", "<b_0>"]}))  # without a model, one index must agree with itself
    check_one_line(run(*learn()), 1, "Tiny.index_lemb.json", "item 3 has 2 tokens", "expected 4")
    check(not Path("out").exists(), "a run was begun")


def residual_kmeans_translates_like_the_network():
    write_features("F.npy", twins=[(9, 8), (17, 8)], zero=[3])
    kmeans = lambda **more: translation(**({"quantizer": "residual-kmeans", "epochs": None, "batch_size": None, "evaluate_every": None} | more))
    done = check_done(run(*kmeans(json="result.json", report="page.html", rotation=3)))
    result = json.loads(Path("result.json").read_text())
    check(result["quantizer"] == "residual-kmeans" and "epochs" not in result and result["items"] == ITEMS - 1, result)
    file = result["files"][0]
    check(file["unique"] and file["collision_rate"] == 0 < file["collision_rate_before"] and file["missing"] == 1, file)
    check(0 < file["reconstruction_error"] < result["variance"] and len(file["capacity"]["levels"]) == 4, result)
    check("each has its own" in done.stdout and "codes used" in done.stdout, done.stdout)
    page = Path("page.html").read_text()
    check("Heat map" in page and "over the epochs" not in page and "residual k-means" in page, "the report")
    metadata = json.loads(Path("translator/translator.json").read_text())
    check(metadata["quantizer"] == "residual-kmeans" and metadata["codes"] == [6] * 4 and metadata["input_width"] == 10, metadata)
    index = json.loads(Path(TEXT).read_text())
    check("3" not in index and len({tuple(tokens) for tokens in index.values()}) == len(index) == ITEMS - 1, index)
    check_done(run(*kmeans(out="again", index="again.json", rotation=3)))
    check(Path("again/model.safetensors").read_bytes() == Path("translator/model.safetensors").read_bytes() and Path("again.json").read_text() == Path(TEXT).read_text(), "another run differs")
    check_one_line(run(*kmeans()), 1, "translator", "holds a model that isn")
    check_done(run(*kmeans(out="longer", index=IMAGES, modality="image", levels=2, collisions="suffix")))
    check_done(run(*learn()))
    recommend_once()


def options_of_the_other_quantizer_are_wrong_usage():
    write_features("F.npy")
    plain = {"quantizer": "residual-kmeans", "epochs": None, "batch_size": None, "evaluate_every": None}
    for option in ({"epochs": 3}, {"batch_size": 8}, {"evaluate_every": 2}, {"lr": 0.1}, {"normalize": "none"}, {"max_seconds": 1}, {"resume": True}):
        check_one_line(run(*translation(**(plain | option))), 2, "--" + next(iter(option)).replace("_", "-"), "residual-kmeans")
    check_one_line(run(*translation(rotation=1)), 2, "--rotation", "rq-vae")
    check_one_line(run(*translation(quantizer="pca")), 2, "--quantizer")
    check(not Path("translator").exists(), "a run was begun")
    write_features("F.npy", rows=5)
    check_one_line(run(*translation(**plain)), 1, "5 rows", "6 codes")


main([levels_of_any_number_and_a_suffix, more_codes_than_the_paper_has, the_paper_s_shape_keeps_the_paper_s_words, domains_of_a_run_share_their_words,
      a_dataset_that_speaks_other_words_than_the_model_is_one_line, residual_kmeans_translates_like_the_network, options_of_the_other_quantizer_are_wrong_usage])
