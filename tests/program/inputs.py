"""Realistic inputs: items without interactions, descriptions with gaps, users whose history is too short for evaluation. inputs.py PROGRAM"""
import json
import math
import resource
from pathlib import Path

from features import translation, write_features
from support import CODES, ITEMS, check, check_done, check_one_line, files_of, main, run, training

METRICS = ["text", "image", "ensemble", "item_text", "item_image", "item_ensemble"]
TEXT, IMAGES, HISTORIES, DESCRIPTIONS = (f"Tiny/Tiny.{name}.json" for name in ("index_lemb", "index_vitemb", "inter", "item"))


def change(path, *remove, **more):
    content = json.loads(Path(path).read_text()) | {key.lstrip("_"): value for key, value in more.items()}
    Path(path).write_text(json.dumps({key: value for key, value in content.items() if key not in remove}))


def evaluate(*more, dataset="Tiny", model="start"):
    done = check_done(run("evaluate", "--dataset", dataset, "--model", model, "--json", "-", *more))
    return json.loads(done.stdout), done.stderr


def recommended(*more, dataset="Tiny", model="start"):
    done = check_done(run("recommend", "--dataset", dataset, "--model", model, "--json", "-", *more))
    return [item["item"] for item in json.loads(done.stdout)["items"]], done.stderr


def items_nobody_has_interacted_with_are_as_good_as_any():
    new = ITEMS + 7
    change(TEXT, **{f"_{new}": ["<a_7>", "<b_7>", "<c_7>", "<d_7>"]})
    change(DESCRIPTIONS, **{f"_{new}": {"title": "Brand new"}})
    _, printed = evaluate()
    check(f"{ITEMS + 1} items" in printed and "warning" not in printed, printed)
    check(new in recommended("--history", "1,2", "--k", 100)[0], "the new item isn't recommended")
    Path("list").write_text(f"{new}\n")
    check(recommended("--history", "1,2", "--allow", "list")[0] == [new], "the new item alone")
    check(new not in recommended("--history", "1,2", "--k", 100, "--deny", "list")[0], "all but the new item")
    check("Brand new" in check_done(run("recommend", "--dataset", "Tiny", "--model", "start", "--history", f"{new}", "--allow", "list")).stdout, "its title")
    check_done(run(*training()))


def an_index_that_translate_has_written_is_accepted_whatever_it_names():
    write_features("F.npy", rows=ITEMS + 25)
    check_done(run(*translation()))
    check(len(json.loads(Path(TEXT).read_text())) == ITEMS + 25, "translate")
    _, printed = evaluate()
    check(f"{ITEMS + 25} items" in printed, printed)
    check_done(run(*training()))


def memory_follows_the_number_of_items():
    """A number of nine digits costs no more than a small one; the item, which has no tokens, is named."""
    change(HISTORIES, far=[0, 1, 2, 3, 999999999, 4])
    change(DESCRIPTIONS, **{"_999999998": {"title": "nobody's"}})

    def limit():
        # address space, of which libraries (MPI's, OpenBLAS's) take a part; a byte for each number would be 1 GB more, four bytes 4 GB
        resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))

    Path("list").write_text("999999999\n3\n")
    for command in (["evaluate", "--dataset", "Tiny", "--model", "start", "--threads", 1], training(),
                    ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1,999999999", "--deny", "list"]):
        done = check_done(run(*command, preexec_fn=limit))
        warnings = [line for line in done.stderr.splitlines() if "without tokens" in line]
        check(len(warnings) == 1 and "2 items" in warnings[0] and "999999998, 999999999" in warnings[0], done.stderr)


def descriptions_may_lack_anything():
    for description in ({"title": "t", "description": "d"}, {"title": "t", "description": "", "brand": None, "categories": ""}, None, {},
                        {"title": "t", "description": ["x", "y"], "brand": [], "categories": ["a", "b"]}, {"title": "t", "price": 3, "also": [{"a": 1}]}):
        change(DESCRIPTIONS, _0=description)
        for command in (["evaluate", "--dataset", "Tiny", "--model", "start"], ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "0"]):
            check_done(run(*command))
    Path(DESCRIPTIONS).write_text(r'{"0": {"title": "half an emoji \ud83d"}}')
    Path("list").write_text("0\n")
    check("half an emoji \ufffd" in check_done(run("recommend", "--dataset", "Tiny", "--model", "start", "--history", "0", "--allow", "list")).stdout, "title")


def a_key_twice_is_refused_everywhere():
    before = files_of(".")
    for path, key in ((TEXT, "0"), (IMAGES, "0"), (HISTORIES, "0"), (DESCRIPTIONS, "0"), ("start/mql4grec.json", "tasks"), ("start/config.json", "d_model")):
        content = before[path].decode()
        value = json.loads(content)[key]
        Path(path).write_text(content.rstrip()[:-1] + f', "{key}": {json.dumps(value)}}}')
        check_one_line(run("evaluate", "--dataset", "Tiny", "--model", "start"), 1, path, f"'{key}' appears twice")
        Path(path).write_bytes(before[path])


def a_byte_order_mark_is_no_part_of_a_file():
    for path in (TEXT, IMAGES, HISTORIES, DESCRIPTIONS, "start/mql4grec.json", "start/config.json"):
        Path(path).write_bytes(b"\xef\xbb\xbf" + Path(path).read_bytes())
    evaluate()
    for content in ("3\n4\n", "[3, 4]"):
        Path("list").write_bytes(b"\xef\xbb\xbf" + content.encode())
        check(sorted(recommended("--history", "1", "--allow", "list")[0]) == [3, 4], content)


def nobody_to_judge_is_said_and_never_zero():
    Path(HISTORIES).write_text('{"a": [0, 1], "b": [2, 3], "c": [4]}')
    done = check_done(run(*training(epochs=2), "--json", "result.json"))
    result = json.loads(Path("result.json").read_text())
    check(result["valid_loss"] is None and result["best_epoch"] == 2 and math.isfinite(result["train_loss"]), result)
    check("(best)" not in done.stderr and "valid loss -" in done.stderr and "valid loss        -\n" in done.stdout, done.stderr, done.stdout)
    why = "none of 3 users has 3 items"
    check(done.stderr.count(why) == 1, done.stderr)
    check(json.loads(check_done(run(*training(epochs=2, resume=True), "--json", "-")).stdout)["valid_loss"] is None, "resumed")
    result, printed = evaluate("--report", "page.html")
    check(result["users"] == 0 and all(result[name] is None for name in METRICS) and printed.count(why) == 1, result, printed)
    table = check_done(run("evaluate", "--dataset", "Tiny", "--model", "out", "--report", "page.html")).stdout.splitlines()
    check(all(line.split()[1:] == ["-"] * 5 for line in table[2:]), table)


def an_allow_list_of_unknown_items_is_named():
    Path("list").write_text("4000\n4001\n")
    items, printed = recommended("--history", "1", "--allow", "list")
    check(items == [] and printed.count("\n") == 1 and "list" in printed and "none of the 2 items" in printed, printed)


def released_checkpoint(words):
    """start/ as the released code saves it: a tokenizer with these words, from 2 on, and no metadata of ours."""
    Path("start/mql4grec.json").unlink()
    Path("start/added_tokens.json").write_text(json.dumps({word: 2 + i for i, word in enumerate(words)}))


def a_tokenizer_may_lack_what_no_item_uses():
    used = {token for path in (TEXT, IMAGES) for tokens in json.loads(Path(path).read_text()).values() for token in tokens}
    change(TEXT, _0=["<a_1>", "<b_0>", "<c_0>", "<d_0>"])
    used.discard("<a_0>")
    change(TEXT, *(str(i) for i in range(1, CODES)))  # the others that begin with <a_0>
    released_checkpoint(sorted(used))
    check(evaluate()[0]["text"] is not None, "text")
    check_one_line(run(*training(out="other")), 1, "start", "tasks 'all'", "<*_0>", "0 prompts")
    check_done(run(*training(tasks="next", init=None, out="new")))
    change(TEXT, _3=["<a_0>", "<b_0>", "<c_0>", "<d_0>"])
    check_one_line(run("evaluate", "--dataset", "Tiny", "--model", "start"), 1, TEXT, "item 3", "<a_0>")


def a_tokenizer_of_one_modality_ranks_that_one():
    start = Path("start/mql4grec.json").read_bytes()
    for there, lacking, letters in (("text", "image", "abcd"), ("image", "text", "ABCD")):
        released_checkpoint([f"<{letter}_{code}>" for letter in letters for code in range(CODES)])
        result, _ = evaluate()
        check(result[there] is not None and result[lacking] is None and result[f"item_{lacking}"] is None and result["ensemble"] is not None, result)
        check(len(recommended("--history", "1,2", "--k", 5)[0]) == 5, there)
        check_done(run("finetune", "--dataset", "Tiny", "--init", "start", "--tasks", "released", "--out", there, "--epochs", 1, "--threads", 1))
        check(evaluate(model=there)[0][lacking] is None, "of what was trained from it")
        Path("start/mql4grec.json").write_bytes(start)
        Path("start/added_tokens.json").unlink()


main([items_nobody_has_interacted_with_are_as_good_as_any, an_index_that_translate_has_written_is_accepted_whatever_it_names, memory_follows_the_number_of_items,
      descriptions_may_lack_anything, a_key_twice_is_refused_everywhere, a_byte_order_mark_is_no_part_of_a_file, nobody_to_judge_is_said_and_never_zero,
      an_allow_list_of_unknown_items_is_named, a_tokenizer_may_lack_what_no_item_uses, a_tokenizer_of_one_modality_ranks_that_one])
