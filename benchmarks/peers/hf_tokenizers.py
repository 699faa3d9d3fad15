#!/usr/bin/env python3
"""Hugging Face's tokenizers on the texts of a catalog: tokens/s of one thread, and a hash of all ids.

    venv/bin/pip install tokenizers==0.20.3 gguf==0.19.0
    venv/bin/python benchmarks/peers/hf_tokenizers.py --items DIR/Scientific/Scientific.item.json --tokenizer MINILM --tokenizer SMOLLM2.gguf
    MQL4GREC_BENCH_ITEMS=DIR/Scientific/Scientific.item.json MQL4GREC_BENCH_TOKENIZERS=MINILM:SMOLLM2.gguf \\
        build/release/benchmarks/bench_tokenizers             # the same texts, the same work

A tokenizer is a directory with `tokenizer.json`, or a GGUF file whose vocabulary is a byte-level BPE with the pre-tokenizer `smollm`.
The texts are the titles and descriptions that aren't empty. Special tokens spelled in a text are text; nothing is cut. `fnv1a` is the
hash (64 bits) of the ids of all texts, as little-endian int32: equal hashes mean equal ids. `--ids FILE` writes the ids of the last
tokenizer, a text a line.
"""
import argparse
import json
import os
import pathlib
import platform
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402, reads the environment
from tokenizers import decoders, models, pre_tokenizers  # noqa: E402


def texts_of(path):
    items = json.loads(path.read_text())
    return [item[field] for item in items.values() for field in ("title", "description") if item.get(field)]


def tokenizer_of_gguf(path):
    import gguf
    fields = gguf.GGUFReader(path).fields
    value = lambda key: fields["tokenizer.ggml." + key].contents()
    if value("model") != "gpt2" or value("pre") != "smollm":
        raise SystemExit(f"{path}: expected a byte-level BPE with the pre-tokenizer smollm")
    merges = [tuple(merge.split(" ")) for merge in value("merges")]
    tokenizer = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(value("tokens"))}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def tokenizer_of(path):
    if path.is_dir():
        tokenizer = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
    else:
        tokenizer = tokenizer_of_gguf(path)
    tokenizer.encode_special_tokens = True
    return tokenizer


def fnv1a(bytes_):
    value = 0xCBF29CE484222325
    for byte in bytes_:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def best_seconds(work, rounds):
    """Processor time, as in Google Benchmark's rates: other programs on the machine count less."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ids", type=pathlib.Path)
    options = parser.parse_args()
    texts = texts_of(options.items)
    for path in options.tokenizer:
        tokenizer = tokenizer_of(path)
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        if options.ids:
            options.ids.write_text("".join(json.dumps(each) + "\n" for each in ids))
        tokens = sum(map(len, ids))
        one_by_one = best_seconds(lambda: [tokenizer.encode(text) for text in texts], options.rounds)
        batch = best_seconds(lambda: tokenizer.encode_batch(texts), options.rounds)
        fast = getattr(tokenizer, "encode_batch_fast", None)  # without offsets
        figures = {"encode": one_by_one, "encode_batch": batch}
        if fast:
            figures["encode_batch_fast"] = best_seconds(lambda: fast(texts), options.rounds)
        print(json.dumps({"tokenizer": str(path), "texts": len(texts), "tokens": tokens,
                          "fnv1a": fnv1a(b"".join(i.to_bytes(4, "little") for each in ids for i in each)),
                          "tokens_per_second": {name: round(tokens / seconds) for name, seconds in figures.items()},
                          "tokenizers": tokenizers.__version__, "machine": platform.machine()}), flush=True)


if __name__ == "__main__":
    main()
