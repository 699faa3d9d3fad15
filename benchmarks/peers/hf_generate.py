#!/usr/bin/env python3
"""How fast `transformers` recommends: beam search over the trie of a data set's items, users/s, on the CPU or a GPU, fp32.

    hf_generate.py --dataset DIR [--model DIR] [--beams 20] [--batch 32] [--users 64] [--device cuda] [--save F.json]

The test split: a user's history but the last item, the last 20 of it. `generate(prefix_allowed_tokens_fn=…)` as the released
code calls it, with the trie as one dictionary from prefix to allowed tokens. `--save` writes sequences and scores in the form
of tests/golden/search, to compare with ours. Without `--model` the weights are random (seed 0): the same work, no meaning.
"""
import argparse

import common


def allowed_tokens(sequences):
    """prefix (with a leading <pad>) → its children, sorted."""
    children = {}
    for sequence in sequences:
        path = (common.PAD, *sequence, common.EOS)
        for i in range(1, len(path)):
            children.setdefault(path[:i], set()).add(path[i])
    return {prefix: sorted(tokens) for prefix, tokens in children.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--model", help="a checkpoint directory; random weights without")
    parser.add_argument("--save-model", help="write the model used to this directory (random weights, for another program)")
    parser.add_argument("--task", default="next_text_item", choices=common.NEXT_ITEM)
    parser.add_argument("--beams", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--users", type=int, default=64)
    common.add_thread_options(parser)
    common.add_device_option(parser)
    parser.add_argument("--warmup", type=int, default=1, help="batches before the clock starts (of the first users again)")
    parser.add_argument("--save", help="write sequences and scores here")
    args = parser.parse_args()
    common.set_threads(args.threads, args.passive)
    import torch
    torch.set_num_threads(args.threads)

    data = common.Dataset(args.dataset)
    model = common.load_model(args.model)
    if args.save_model:
        model.save_pretrained(args.save_model)
    model.to(args.device)
    users = data.test_users(args.task)[:args.users]
    valid = data.items[common.NEXT_ITEM[args.task][2]].values()
    children = allowed_tokens(valid)

    def recommend(sources):
        ids = common.padded(sources, common.PAD).to(args.device)
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=(ids != common.PAD).long(), num_beams=args.beams,
                num_return_sequences=args.beams, max_new_tokens=5, do_sample=False, output_scores=True,
                return_dict_in_generate=True,
                prefix_allowed_tokens_fn=lambda _, prefix: children.get(tuple(prefix.tolist()), [common.EOS]))
        rows = list(zip(out.sequences[:, 1:5].tolist(), out.sequences_scores.tolist()))
        return [rows[i * args.beams:(i + 1) * args.beams] for i in range(len(sources))]

    sources = [source for source, _ in users]
    for _ in range(args.warmup):
        recommend(sources[:args.batch])
    clock = common.Clock()
    found = [hypotheses for i in range(0, len(sources), args.batch) for hypotheses in recommend(sources[i:i + args.batch])]
    wall, processor = clock.read()
    found = [[(tokens, score) for tokens, score in hypotheses if score > -1e6] for hypotheses in found]  # no filler beams

    if args.save:
        common.save_hypotheses(args.save, sources, found)
    metrics = common.ranking_metrics([[t for t, _ in h] for h in found], [t for _, t in users]) if args.model else {}
    common.report(
        what="hf_generate", dataset=data.name, task=args.task, threads=args.threads,
        passive=args.passive, device=args.device, beams=args.beams, batch=args.batch, users=len(users),
        users_per_second=round(len(users) / wall, 2), seconds=round(wall, 2),
        processor_seconds=round(processor, 2), users_per_processor_second=round(len(users) / processor, 2),
        mean_source_tokens=round(sum(map(len, sources)) / len(sources), 1),
        model=args.model or "random", metrics=metrics, versions=common.versions("torch", "transformers", "numpy"))


if __name__ == "__main__":
    main()
