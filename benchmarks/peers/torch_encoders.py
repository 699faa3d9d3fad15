#!/usr/bin/env python3
"""PyTorch's frozen encoders on the work of benchmarks/encoders.bench.cpp: texts sorted by length, padded to the longest of
a batch; MiniLM, SmolLM2 (dequantized) and CLIP ViT-B/32's shapes, fp32.

    venv/bin/pip install torch==2.5.1 transformers==4.45.2 numpy==2.2.6 gguf==0.19.0
    venv/bin/python benchmarks/peers/torch_encoders.py --weights WEIGHTS         # tests/golden/make_golden_pretrained.py has where from
    MQL4GREC_WEIGHTS=WEIGHTS build/release/benchmarks/bench_encoders

Each line of JSON is the best of --rounds passes; the best batch size is ours to beat.
"""
import argparse
import pathlib
import sys

import common


def text_length(i):
    return 6 + 37 * i % 34 if i % 2 == 0 else 16 + 101 * i % 241


def texts(count, vocabulary):
    order = sorted(range(count), key=text_length, reverse=True)
    return [[(1 + 31 * i + 17 * j) % vocabulary for j in range(text_length(i))] for i in order]


def time_texts(name, model, all_texts, options, batch_size):
    import torch
    batches = []
    for first in range(0, len(all_texts), batch_size):
        some = all_texts[first:first + batch_size]
        mask = torch.tensor([[1] * len(t) + [0] * (len(some[0]) - len(t)) for t in some])
        batches.append((common.padded(some, 0), mask))

    def run():
        for ids, mask in batches:
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    time_rounds(name, run, len(all_texts), options, batch_size)


def time_rounds(name, run, items, options, batch_size):
    run()  # warm-up
    wall, processor = [], []
    for _ in range(options.rounds):
        clock = common.Clock()
        run()
        w, p = clock.read()
        wall.append(w)
        processor.append(p)
    common.report(peer="torch", encoder=name, threads=options.threads, batch=batch_size,
                  items_per_second=round(items / min(wall), 2),
                  items_per_processor_second=round(items / min(processor), 2),
                  **common.versions("torch", "transformers"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    common.add_thread_options(parser)
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["minilm", "smollm2", "clip"])
    options = parser.parse_args()
    common.set_threads(options.threads, options.passive)

    import torch
    from transformers import BertModel, CLIPVisionConfig, CLIPVisionModelWithProjection
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        if "minilm" in options.only:
            model = BertModel.from_pretrained(options.weights / "minilm", add_pooling_layer=False).eval()
            for batch_size in (8, 32):
                time_texts("minilm", model, texts(512, model.config.vocab_size), options, batch_size)
        if "smollm2" in options.only:
            sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/golden"))
            from make_golden_pretrained import read_llama
            model, _ = read_llama(next((options.weights / "smollm2").glob("*.gguf")))
            model = model.eval()
            for batch_size in (4, 16):
                time_texts("smollm2", model, texts(64, model.config.vocab_size), options, batch_size)
        if "clip" in options.only:
            model = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=512)).eval()
            for batch_size in (8, 32):
                pixels = torch.randn(batch_size, 3, 224, 224)
                time_rounds("clip", lambda: model(pixel_values=pixels), batch_size, options, batch_size)


if __name__ == "__main__":
    main()
