"""embed: features by encoders in files, their rows, missing and damaged content, resuming. embed.py PROGRAM"""
import json
import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

from encoders import png, read_npy, write_image_encoder, write_text_encoder
from support import PROGRAM, check, check_done, check_one_line, main, run

TEXT = ["embed", "--dataset", "Shop", "--modality", "text", "--encoder", "bert", "--out", "text.npy"]
IMAGE = ["embed", "--dataset", "Shop", "--modality", "image", "--encoder", "clip", "--images", "pictures", "--out", "image.npy"]


def write_shop(items=6):
    """Item 3 has no text, item 4 an empty description, item 5 nothing at all but its number."""
    Path("Shop").mkdir()
    texts = {str(i): {"title": f"red chair {i}", "description": "a chair"} for i in range(items) if i != 3}
    texts["4"]["description"] = ""
    del texts["5"]
    Path("Shop/Shop.item.json").write_text(json.dumps(texts))
    Path("Shop/Shop.item2id").write_text("".join(f"B{i}\t{i}\n" for i in range(items)))
    write_text_encoder(Path("bert"), ["red", "chair", "a", *map(str, range(items))])
    write_image_encoder(Path("clip"))
    Path("pictures").mkdir()
    for i in range(3):
        Path(f"pictures/B{i}.png").write_bytes(png(18, 20, lambda x, y: (80 * i, x * 9, y * 7)))


def probe():
    """Why this build can't embed, or None."""
    write_shop()
    done = run(*TEXT)
    return done.stderr if "built without" in done.stderr else None


def rows_of_items_with_and_without_content():
    if reason := probe():
        return reason
    done = check_done(run(*TEXT, "--json", "text.json", "--threads", 1))
    rows, result = read_npy(Path("text.npy")), json.loads(Path("text.json").read_text())
    check(len(rows) == 6 and len(rows[0]) == 16, len(rows))
    check([any(row) for row in rows] == [True, True, True, False, True, False], rows)
    check(result["items"] == 6 and result["empty"] == 2 and result["encoded"] == 7 and result["width"] == 16, result)
    check("2 items of 6 without text: rows of zeros" in done.stderr, done.stderr)
    check_done(run(*TEXT[:-1], "again.npy", "--threads", 3))
    check(read_npy(Path("again.npy")) == rows, "another number of threads gives other rows")
    check_done(run(*TEXT[:-1], "titles.npy", "--fields", "title"))
    titles = read_npy(Path("titles.npy"))
    check(titles[4] == rows[4] and titles[0] != rows[0], "an item without a description has the features of its title")
    check_done(run(*TEXT[:-1], "released.npy", "--encode-empty"))
    check(read_npy(Path("released.npy"))[4] != rows[4] and not any(read_npy(Path("released.npy"))[5]), "--encode-empty")


def pictures_that_are_missing_or_damaged():
    if reason := probe():
        return reason
    Path("pictures/B4.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    done = check_done(run(*IMAGE, "--json", "image.json"))
    result = json.loads(Path("image.json").read_text())
    check([any(row) for row in read_npy(Path("image.npy"))] == [True, True, True, False, False, False], "rows")
    check(result["encoded"] == 3 and result["empty"] == 2 and [bad["item"] for bad in result["bad"]] == [4], result)
    check("1 image can't be read, the first is item 4: pictures/B4.jpg" in done.stderr, done.stderr)
    check_one_line(run(*IMAGE, "--strict", "--quiet"), 1, "pictures/B4.jpg")
    os.remove("pictures/B4.jpg")
    check_done(run(*IMAGE, "--strict"))


def wrong_usage_and_files():
    if reason := probe():
        return reason
    Path("text.npy").unlink()  # of the probe
    check_one_line(run(*IMAGE, "--max-tokens", 9), 2, "--max-tokens", "--modality image")
    check_one_line(run(*TEXT, "--images", "pictures"), 2, "--images", "--modality text")
    check_one_line(run(*TEXT, "--fields", "title,price"), 2, "price", "description")
    check_one_line(run(*TEXT[:5], "--encoder", "clip", "--out", "x.npy"), 1, "clip/config.json", "model_type", "bert")
    check_one_line(run(*IMAGE[:5], "--encoder", "bert", "--images", "pictures", "--out", "x.npy"), 1, "bert/config.json", "clip")
    check_one_line(run(*TEXT[:-1], "nowhere/x.npy"), 1, "nowhere/x.npy")
    check_one_line(run(*IMAGE[:-4], "--images", "none", "--out", "x.npy"), 1, "none", "directory")
    vocabulary = Path("bert/vocab.txt")
    vocabulary.write_text(vocabulary.read_text() + "".join(f"more{i}\n" for i in range(9)))
    check_one_line(run(*TEXT), 1, "bert", "the token embedding has", "the tokenizer has ids up to")
    check(not Path("text.npy").exists() and not Path("text.npy.rows").exists(), "left behind", os.listdir())


def write_many_texts():
    chance = random.Random(1)
    Path("Shop/Shop.item2id").unlink()
    Path("Shop/Shop.item.json").write_text(json.dumps({str(i): {"title": " ".join(chance.choice(["red", "chair", "a", "1", "2"]) for _ in range(50))} for i in range(20000)}))


def a_full_disk_loses_nothing():
    if reason := probe():
        return reason
    write_many_texts()
    done = run(*TEXT, "--quiet", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))
    check_one_line(done, 1, "text.npy", "can't be written")
    check(0 < json.loads(Path("text.npy.state.json").read_text())["done"] < 20000 and len(read_npy(Path("text.npy"))) == 6, "what was complete is lost, or the file of an earlier run")
    check_done(run(*TEXT, "--resume"))
    check_done(run(*TEXT[:-1], "whole.npy"))
    check(Path("text.npy").read_bytes() == Path("whole.npy").read_bytes(), "the resumed file differs")


def an_interrupted_file_is_resumed_to_the_same_bytes():
    if reason := probe():
        return reason
    write_many_texts()
    command = [PROGRAM, *TEXT, "--threads", "1"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while running.poll() is None and not Path("text.npy.state.json").exists():
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate()
    if running.returncode == 0:
        return "the machine was too fast to be interrupted"
    check(running.returncode == 130 and "text.npy.rows has the rows before it, --resume goes on" in said, running.returncode, said)
    check_one_line(run(*TEXT, "--quiet"), 1, "text.npy.state.json", "resume it, or remove it")
    check_one_line(run(*TEXT, "--quiet", "--resume", "--max-tokens", 20), 1, "text.npy.state.json", "max_tokens")
    check_done(run(*TEXT, "--resume", "--threads", 2))
    check_done(run(*TEXT[:-1], "whole.npy"))
    check(Path("text.npy").read_bytes() == Path("whole.npy").read_bytes(), "the resumed file differs")
    check(not Path("text.npy.state.json").exists() and not Path("text.npy.rows").exists(), "left behind")


main([rows_of_items_with_and_without_content, pictures_that_are_missing_or_damaged, wrong_usage_and_files, a_full_disk_loses_nothing, an_interrupted_file_is_resumed_to_the_same_bytes])
