"""What the tests of the built program share: a small dataset, a small model, and what every error message must contain."""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import traceback
from array import array
from pathlib import Path

PROGRAM = os.path.abspath(sys.argv[1])
CODES = 8  # of each level
ITEMS = 40


def write_dataset(directory, users=60, seed=1):
    """A dataset directory in which the next item follows from the last one."""
    directory.mkdir(parents=True)
    chance = random.Random(seed)
    histories = {}
    for user in range(users):
        item = chance.randrange(ITEMS)
        histories[str(user)] = []
        for _ in range(chance.randint(4, 7)):
            histories[str(user)].append(item)
            item = (item * 3 + 1 + chance.randrange(2)) % ITEMS
    histories[str(users)] = [ITEMS - 3, ITEMS - 2, ITEMS - 1]  # so that every item number exists
    (directory / f"{directory.name}.inter.json").write_text(json.dumps(histories))
    for suffix, letters in (("lemb", "abcd"), ("vitemb", "ABCD")):
        index = {str(i): [f"<{letter}_{code}>" for letter, code in zip(letters, (i // CODES, i % CODES, i % 3, i % 5))] for i in range(ITEMS)}
        (directory / f"{directory.name}.index_{suffix}.json").write_text(json.dumps(index))
    titles = {str(i): {"title": f"Thing <{i}> & more", "description": "", "brand": "", "categories": ""} for i in range(ITEMS)}
    (directory / f"{directory.name}.item.json").write_text(json.dumps(titles))
    return directory


def write_model(directory, width=16, seed=2):
    """A T5 of one layer as transformers would save it, its parameters random: fast enough to be trained in a blink."""
    heads, inner, buckets = 2, 32, 32
    words = 2 + 8 * CODES + 18
    attention = lambda kind: {f"{kind}.{name}.weight": [heads * 8, width] for name in "qkv"} | {f"{kind}.o.weight": [width, heads * 8]}
    feed_forward = {"DenseReluDense.wi.weight": [inner, width], "DenseReluDense.wo.weight": [width, inner]}
    bias = {"SelfAttention.relative_attention_bias.weight": [buckets, heads]}
    shapes = {"shared.weight": [words, width]}
    for stack, sublayers in (("encoder", [attention("SelfAttention") | bias, feed_forward]),
                             ("decoder", [attention("SelfAttention") | bias, attention("EncDecAttention"), feed_forward])):
        for number, sublayer in enumerate(sublayers):
            shapes |= {f"{stack}.block.0.layer.{number}.{name}": shape for name, shape in sublayer.items()}
            shapes[f"{stack}.block.0.layer.{number}.layer_norm.weight"] = [width]
        shapes[f"{stack}.final_layer_norm.weight"] = [width]
    chance, header, values = random.Random(seed), {}, array("f")
    for name, shape in shapes.items():
        begin = 4 * len(values)
        values.extend(1.0 if len(shape) == 1 else chance.gauss(0, 0.2) for _ in range(shape[0] * (shape[1] if len(shape) > 1 else 1)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, 4 * len(values)]}
    text = json.dumps(header).encode()
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + values.tobytes())
    (directory / "config.json").write_text(json.dumps({
        "model_type": "t5", "d_model": width, "d_kv": 8, "d_ff": inner, "num_heads": heads, "num_layers": 1, "num_decoder_layers": 1,
        "vocab_size": words, "relative_attention_num_buckets": buckets, "relative_attention_max_distance": 128, "feed_forward_proj": "relu",
        "tie_word_embeddings": True, "dropout_rate": 0.1, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}))
    families = [{"prefix": prefix, "codes": [CODES] * 4} for prefix in "aA"]
    (directory / "mql4grec.json").write_text(json.dumps({"tasks": "all", "modalities": families, "prompts": 18}))
    return directory


def run(*arguments, **options):
    """The finished process, its output as text."""
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


def training(command="finetune", **options):
    """The arguments of a small training that is the same every time."""
    options = {"dataset": "Tiny", "init": "start", "out": "out", "epochs": 4, "batch_size": 64, "threads": 1} | options
    words = [command]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return words


def check(holds, *what):
    if not holds:
        raise AssertionError(" ".join(str(part) for part in what))


def check_done(done):
    check(done.returncode == 0, "exit code", done.returncode, "expected 0:\n", done.stderr)
    return done


def check_one_line(done, code, *names):
    """Checks an error: one line on standard error that contains the cause, nothing on standard output."""
    check(done.returncode == code, "exit code", done.returncode, "expected", code, "\n", done.stderr)
    check(done.stderr.count("\n") == 1 and done.stderr.startswith("mql4grec: "), "expected one line, found:\n", done.stderr)
    check(done.stdout == "", "unexpected standard output:\n", done.stdout)
    for name in names:
        check(str(name) in done.stderr, f"expected '{name}' in:", done.stderr)


def files_of(directory):
    """{relative path: content} of everything below a directory."""
    directory = Path(directory)
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def main(tests):
    """Runs the tests one by one in fresh directories that hold Tiny/ and start/; one that can't run here returns why.
    MQL4GREC_ONLY=name,…: these only."""
    if only := os.environ.get("MQL4GREC_ONLY"):
        named = {test.__name__: test for test in tests}
        tests = [named[name] for name in only.split(",")]
    for test in tests:
        with tempfile.TemporaryDirectory(prefix="mql4grec-") as folder:
            os.chdir(folder)
            write_dataset(Path("Tiny"))
            write_model(Path("start"))
            try:
                reason = test()
            except Exception as problem:
                traceback.print_exc()
                sys.exit(f"FAILED {test.__name__}: {problem}")
            finally:
                os.chdir("/")
            print(f"SKIPPED {test.__name__}: {reason}" if reason else f"passed {test.__name__}", flush=True)
