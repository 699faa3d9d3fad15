#!/usr/bin/env python3
"""The latency of single requests in CTranslate2: one query of one modality, batch 1, on the CPU, without the trie.

    ct2_request.py --dataset DIR [--model HFDIR] [--beams 20] [--requests 500] [--threads 1] [--types float32,int8] [--wall]

The queries are those of the first test users of the dataset. Times are processor time of the whole process, so that other
programs on the machine don't count; with one thread and a quiet machine they equal the clock's (`--wall`). What is timed is
translate_batch() of one query: tokens in, the hypotheses out. The environment variable CT2_FORCE_CPU_ISA (AVX2, AVX512)
chooses the kernels.
"""
import argparse
import os
import tempfile
import time

import common
from ct2_generate import convert


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--model", help="a Hugging Face checkpoint directory; random weights without")
    parser.add_argument("--task", default="next_text_item", choices=common.NEXT_ITEM)
    parser.add_argument("--beams", type=int, default=20)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--types", default="float32,int8")
    parser.add_argument("--wall", action="store_true", help="the clock's time instead of the process's")
    common.add_thread_options(parser)
    parser.set_defaults(threads=1)
    args = parser.parse_args()
    common.set_threads(args.threads, args.passive)
    import torch
    import ctranslate2
    torch.set_num_threads(args.threads)

    data = common.Dataset(args.dataset)
    model = common.load_model(args.model)
    now = time.perf_counter if args.wall else time.process_time
    sources = [[common.VOCABULARY[i] for i in source] for source, _ in data.test_users(args.task)[:args.requests]]
    for kind in args.types.split(","):
        with tempfile.TemporaryDirectory() as directory:
            convert(model, None if kind == "float32" else kind, directory)
            translator = ctranslate2.Translator(directory, device="cpu", compute_type=kind, inter_threads=1,
                                                intra_threads=args.threads)

            def recommend(source):
                return translator.translate_batch([source], beam_size=args.beams, num_hypotheses=args.beams,
                                                  max_decoding_length=5, return_scores=True, length_penalty=1)
            for source in sources[:20]:
                recommend(source)
            times = []
            for source in sources:
                start = now()
                recommend(source)
                times.append(1e3 * (now() - start))
            times.sort()
        percentiles = {name: round(times[min(len(times) - 1, int(part * len(times)))], 2)
                       for name, part in (("p50", .5), ("p90", .9), ("p99", .99), ("p99.9", .999))}
        common.report(what="ct2_request", dataset=data.name, task=args.task, threads=args.threads, type=kind,
                      beams=args.beams, requests=len(times), clock="wall" if args.wall else "processor", milliseconds=percentiles,
                      mean_source_tokens=round(sum(map(len, sources)) / len(sources), 1),
                      forced_isa=os.environ.get("CT2_FORCE_CPU_ISA", "none"), constrained=False,
                      model=args.model or "random", versions=common.versions("torch", "transformers", "ctranslate2"))


if __name__ == "__main__":
    main()
