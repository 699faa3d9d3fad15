#!/usr/bin/env python3
"""How fast CTranslate2 runs our T5's beam search: users/s, on the CPU, without the trie (it has no such constraint).

    ct2_generate.py --dataset DIR [--model HFDIR] [--beams 20] [--batch 64] [--users 512] [--threads 2] [--type int8]

An upper bound for a general engine, not the same result: beams may leave the catalog (`valid_fraction`: the part of the
hypotheses that are items), and it doesn't pay for a trie. The checkpoint goes through CTranslate2's own T5 converter, with our
vocabulary in place of a tokenizer, into a temporary directory. Both ways to use the threads are timed (one replica with all
threads; a replica a thread) and the better is `users_per_second`. All users are handed over at once; CTranslate2 sorts them
by length and cuts batches of `--batch` users. With `--compare F.json` (what hf_generate.py or ours saved) nothing is timed:
CTranslate2's scorer computes each saved hypothesis again and the worst difference of a score is printed.
"""
import argparse
import json
import os
import pathlib
import tempfile

import common


class VocabularyAsTokenizer:
    """The interface that CTranslate2's loader requires of a tokenizer."""
    pad_token, eos_token, unk_token = "<pad>", "</s>", "<pad>"

    def get_vocab(self):
        return dict(common.IDS)

    def convert_ids_to_tokens(self, i):
        return common.VOCABULARY[i]


def convert(model, quantization, directory):
    from ctranslate2.converters.transformers import TransformersConverter

    class Converter(TransformersConverter):
        def load_model(self, *_, **__):
            return model

        def load_tokenizer(self, *_, **__):
            return VocabularyAsTokenizer()

    with tempfile.TemporaryDirectory() as config:
        model.config.save_pretrained(config)
        Converter(config).convert(directory, quantization=quantization, force=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--model", help="a Hugging Face checkpoint directory; random weights (hf_generate.py's) without")
    parser.add_argument("--task", default="next_text_item", choices=common.NEXT_ITEM)
    parser.add_argument("--beams", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--users", type=int, default=512)
    common.add_thread_options(parser)
    parser.add_argument("--type", default="float32", choices=["float32", "int8", "bfloat16"])
    parser.add_argument("--repeat", type=int, default=1, help="each way is timed so often; the best counts")
    parser.add_argument("--compare", help="score the hypotheses of this file instead")
    args = parser.parse_args()
    common.set_threads(args.threads, args.passive)
    import torch
    import ctranslate2
    torch.set_num_threads(args.threads)

    data = common.Dataset(args.dataset)
    model = common.load_model(args.model)
    directory = tempfile.TemporaryDirectory()
    convert(model, None if args.type == "float32" else args.type, directory.name)

    def texts(ids):
        return [common.VOCABULARY[i] for i in ids]

    if args.compare:
        translator = ctranslate2.Translator(directory.name, device="cpu", compute_type=args.type, intra_threads=args.threads)
        saved = json.loads(pathlib.Path(args.compare).read_text())["results"]
        worst = 0.0
        for result in saved:
            targets = [texts(h["tokens"]) for h in result["hypotheses"]]
            scores = translator.score_batch([texts(result["input"])] * len(targets), targets)
            for hypothesis, score in zip(result["hypotheses"], scores):
                worst = max(worst, abs(sum(score.log_probs) / 5 - hypothesis["score"]))
        common.report(what="ct2_compare", type=args.type, users=len(saved), worst_score_difference=worst)
        return

    users = data.test_users(args.task)[:args.users]
    sources = [texts(source) for source, _ in users]
    ways = {"1 replica": dict(inter_threads=1, intra_threads=args.threads)}
    if args.threads > 1:
        ways[f"{args.threads} replicas"] = dict(inter_threads=args.threads, intra_threads=1)
    speeds, seconds, per_processor_second = {}, {}, 0
    for name, threads in ways.items():
        translator = ctranslate2.Translator(directory.name, device="cpu", compute_type=args.type, **threads)

        def recommend(sources):
            return translator.translate_batch(sources, beam_size=args.beams, num_hypotheses=args.beams, max_batch_size=args.batch,
                                              max_decoding_length=5, return_scores=True, length_penalty=1)
        recommend(sources[:args.batch * threads["inter_threads"]])  # warm up
        for _ in range(args.repeat):
            clock = common.Clock()
            found = recommend(sources)
            wall, processor = clock.read()
            per_processor_second = max(per_processor_second, round(len(users) / processor, 2))
            if len(users) / wall > speeds.get(name, 0):
                speeds[name], seconds[name] = round(len(users) / wall, 2), (round(wall, 2), round(processor, 2))
        del translator

    catalog = {tuple(texts(tokens)) for tokens in data.items[common.NEXT_ITEM[args.task][2]].values()}
    valid = [tuple(h[:4]) in catalog for result in found for h in result.hypotheses]
    best = max(speeds, key=speeds.get)
    metrics = common.ranking_metrics([[h[:4] for h in r.hypotheses] for r in found], [texts(t) for _, t in users])
    common.report(
        what="ct2_generate", dataset=data.name, task=args.task, threads=args.threads,
        passive=args.passive, type=args.type, beams=args.beams, batch=args.batch, users=len(users),
        users_per_second=speeds[best],
        threads_used_as=best, all_ways=speeds,
        users_per_processor_second=per_processor_second, wall_and_processor_seconds=seconds,
        mean_source_tokens=round(sum(map(len, sources)) / len(sources), 1),
        valid_fraction=round(sum(valid) / max(1, len(valid)), 4), constrained=False, model=args.model or "random",
        metrics=metrics if args.model else {}, mkl=os.environ.get("CT2_USE_MKL", "default"),
        versions=common.versions("torch", "transformers", "ctranslate2", "numpy"))


if __name__ == "__main__":
    main()
