"""Files that can't be believed and places that can't be written: one line that names the file, exit 1, nothing half-written.
bad_files.py PROGRAM"""
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
from pathlib import Path

from support import PROGRAM, check, check_done, check_one_line, files_of, main, run, training

EVALUATE = ["evaluate", "--dataset", "Tiny", "--model", "start"]


def refused(path, content, *names, command=None):
    """With this content (None: without the file) every command that reads it ends in one line; nothing else changes."""
    path = Path(path)
    good = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = files_of(".")
    for arguments in [command] if command else [EVALUATE, training()]:
        check_one_line(run(*arguments), 1, path.name, *names)
        check(files_of(".") == before, "files changed:", set(files_of(".")) ^ set(before))
        if not command:
            shutil.rmtree("out", ignore_errors=True)
    path.write_bytes(good)


def damaged_interactions():
    path = "Tiny/Tiny.inter.json"
    good = Path(path).read_text()
    for content in (None, "", good[: len(good) // 2], "[1, 2]", "3", "{}", '{"0": 7}', '{"0": ["1"]}', '{"0": [-1, 2, 3]}', '{"0": [1.5]}',
                    '{"0": [99999999999]}', '{"0": [1], "0": [2]}', b"\xff\xfe\x00", '{"a\\nb": [true]}'):
        refused(path, content)


def damaged_token_indices():
    path = "Tiny/Tiny.index_lemb.json"
    good = json.loads(Path(path).read_text())
    broken = lambda item, tokens: json.dumps(good | {item: tokens})
    for content, name in (("", ""), (json.dumps(good)[:200], ""), ("[]", ""), (broken("0", ["<a_300>", "<b_0>", "<c_0>", "<d_0>"]), "<a_300>"),
                          (broken("0", ["<b_0>", "<a_0>", "<c_0>", "<d_0>"]), "item 0"), (broken("0", ["<A_0>", "<B_0>", "<C_0>", "<D_0>"]), "item 0"),
                          (broken("0", ["<a_0>"]), "item 0"), (broken("0", [1, 2, 3, 4]), "item 0"), (broken("0", "x"), "item 0"),
                          (broken("x", good["0"]), "'x'"), (broken("2147483647", good["0"]), "2147483647")):
        refused(path, content, name)
    refused("Tiny/Tiny.index_vitemb.json", "[]")
    refused("Tiny/Tiny.item.json", '{"0": {"title": 7}}')


def damaged_models():
    model, card, config = Path("start/model.safetensors"), Path("start/mql4grec.json"), Path("start/config.json")
    weights, shape = model.read_bytes(), json.loads(config.read_text())
    for content in (None, b"", weights[:5], weights[:100], weights[:-4], b"\0" * 64, struct.pack("<Q", 2**62) + weights[8:]):
        refused(model, content)
    (header_bytes,) = struct.unpack("<Q", weights[:8])
    not_a_number = bytearray(weights)
    not_a_number[8 + header_bytes : 12 + header_bytes] = struct.pack("<f", float("nan"))
    refused(model, bytes(not_a_number), "shared.weight")
    renamed = weights.replace(b"encoder.final_layer_norm.weight", b"encoder.final_layer_gnome.weigh")
    refused(model, renamed, "encoder.final_layer_norm.weight")
    for content in (None, "", "{", "[]", json.dumps(shape | {"d_model": "wide"})):
        refused(config, content)
    for content in ("", "{", json.dumps({"tasks": "all"}), json.dumps({"tasks": "some", "modalities": [], "prompts": 18})):
        refused(card, content)
    config.write_text(json.dumps(shape | {"d_model": 24}))  # a checkpoint of another shape
    for command in (EVALUATE, training()):
        check_one_line(run(*command), 1, "model.safetensors", "24", "16")
    config.write_text(json.dumps(shape))
    check_one_line(run("evaluate", "--dataset", "Tiny", "--model", "nowhere"), 1, "nowhere")


def lists_of_items():
    recommend = ["recommend", "--dataset", "Tiny", "--model", "start", "--history", "1,2"]
    Path("list").write_text("1\n")
    for option in ("--allow", "--deny"):
        for content in ("1\nx\n", "1 2\n", "-4\n", "[1, 2", '[1, "2"]', "[[1]]", '{"a": 1}', "99999999999\n"):
            refused("list", content, command=[*recommend, option, "list"])
        check_one_line(run(*recommend, option, "missing"), 1, "missing")
    refused("list", "\n", command=[*recommend, "--allow", "list"])


def places_that_cannot_be_written():
    Path("file").write_text("in the way")
    nothing_yet = files_of(".")
    for place in ("file", "file/below", "/proc/nowhere"):
        check_one_line(run(*training(out=place)), 1, place)
        check_one_line(run(*EVALUATE, "--save", place), 1, place)
        check_one_line(run(*EVALUATE, "--json", f"{place}/x.json"), 1, place)
        check_one_line(run(*EVALUATE, "--report", f"{place}/x.html"), 1, place)
        check_one_line(run("demo", "--out", place), 1, place)
    check_one_line(run(*EVALUATE, "--json", "Tiny"), 1, "Tiny")
    check(files_of(".") == nothing_yet, "files changed")
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, *EVALUATE, "--quiet"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    check(done.returncode == 1 and done.stderr.count("\n") == 1 and "standard output" in done.stderr, done)


def runs_that_do_not_fit():
    check_done(run(*training()))
    before = files_of("out")
    check_one_line(run(*training()), 1, "out", "resume")
    check_one_line(run(*training(resume=True, batch_size=32)), 1, "training.safetensors", "batch_size")
    check(files_of("out") == before, "files changed")
    refused("out/training.safetensors", before["training.safetensors"][:1000], command=training(resume=True))


def a_full_disk_in_place_of_each_file():
    """A file is written beside its final name; where that name is a link to /dev/full, the disk is full only for this file."""
    for name in ("training.safetensors", "model.safetensors", "config.json", "mql4grec.json"):
        Path("out").mkdir()
        os.symlink("/dev/full", f"out/{name}.partial")
        check_one_line(run(*training(), "--quiet"), 1, f"out/{name}", "No space left")
        check(not Path(f"out/{name}").exists() and not list(Path("out").glob("*.partial")), "half-written:", os.listdir("out"))
        shutil.rmtree("out")


def a_file_that_may_not_grow_leaves_the_last_good_state():
    check_done(run(*training(epochs=8, max_seconds=1e-9)))
    before = files_of("out")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    check_one_line(run(*training(epochs=8, resume=True), "--quiet", preexec_fn=limit), 1, "out/", "File too large")
    check(files_of("out") == before, "the last good state was touched")
    check_done(run(*training(epochs=8, resume=True)))


def a_full_disk():
    os.mkdir("small")
    script = 'mount -t tmpfs -o size=48k none small && exec "$0" "$@"'
    if subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=48k none small"], capture_output=True).returncode != 0:
        return "no permission to mount a small file system"
    words = training(out="small/out")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, PROGRAM, *words, "--quiet"], capture_output=True, text=True, timeout=60)
    check_one_line(done, 1, "small/out/", "No space left")


main([damaged_interactions, damaged_token_indices, damaged_models, lists_of_items, places_that_cannot_be_written, runs_that_do_not_fit,
      a_full_disk_in_place_of_each_file, a_file_that_may_not_grow_leaves_the_last_good_state, a_full_disk])
