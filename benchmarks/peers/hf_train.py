#!/usr/bin/env python3
"""How fast `transformers` trains our T5 on the six fine-tuning tasks of a data set: examples/s, on the CPU or a GPU, in fp32 unless --bf16.

    hf_train.py --dataset DIR [--batch 256] [--threads 2] [--steps 10] [--group-by-length] [--bf16] [--device cuda] [--compile]

The released code's way: examples of all tasks shuffled together, each batch padded to its longest; AdamW 5e-4, gradients
clipped to norm 1. `--group-by-length` sorts each run of 50 batches by length first (what `Trainer(group_by_length=True)`
does), which saves most of the padding. Steps after `--warmup` are timed; making the examples isn't.
"""
import argparse
import random

import common


def batches(examples, size, seed, group_by_length):
    order = list(range(len(examples)))
    shuffle = random.Random(seed)
    shuffle.shuffle(order)
    while True:
        for start in range(0, len(order), 50 * size):
            block = order[start:start + 50 * size]
            if group_by_length:
                block.sort(key=lambda i: -len(examples[i][1]))
            cut = [block[i:i + size] for i in range(0, len(block), size)]
            if group_by_length:
                shuffle.shuffle(cut)
            for batch in cut:
                yield [examples[i] for i in batch]
        shuffle.shuffle(order)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="a directory D with D.inter.json and the two index files")
    parser.add_argument("--batch", type=int, default=256)
    common.add_thread_options(parser)
    common.add_device_option(parser)
    parser.add_argument("--compile", action="store_true", help="torch.compile the model, shapes dynamic")
    parser.add_argument("--steps", type=int, default=10, help="timed steps")
    parser.add_argument("--warmup", type=int, default=1, help="steps before the clock starts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="torch.autocast to bfloat16")
    parser.add_argument("--save", help="write the trained checkpoint to this directory")
    args = parser.parse_args()
    common.set_threads(args.threads, args.passive)
    import torch
    from transformers import T5ForConditionalGeneration
    torch.set_num_threads(args.threads)

    examples = common.Dataset(args.dataset).training_examples()
    torch.manual_seed(args.seed)
    model = T5ForConditionalGeneration(common.t5_config(args.dropout)).train().to(args.device)
    gains = [w for n, w in model.named_parameters() if "layer_norm" in n]
    others = [w for n, w in model.named_parameters() if "layer_norm" not in n]
    optimizer = torch.optim.AdamW([{"params": others, "weight_decay": 0.01}, {"params": gains, "weight_decay": 0.0}],
                                  lr=args.learning_rate, betas=(0.9, 0.999), eps=1e-8)

    forward = torch.compile(model, dynamic=True) if args.compile else model
    source = batches(examples, args.batch, args.seed, args.group_by_length)
    losses, seen, real, spent = [], 0, 0, 0
    for step in range(args.warmup + args.steps):
        if step == args.warmup:
            common.synchronize(args.device)
            clock = common.Clock()
            seen = real = spent = 0
        batch = next(source)
        ids = common.padded([s for _, s, _ in batch], common.PAD).to(args.device)
        labels = common.padded([t for _, _, t in batch], -100).to(args.device)
        optimizer.zero_grad()
        with torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=args.bf16):
            loss = forward(input_ids=ids, attention_mask=(ids != common.PAD).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
        seen += len(batch)
        real += sum(len(s) + len(t) for _, s, t in batch)
        spent += ids.numel() + labels.numel()
    common.synchronize(args.device)
    wall, processor = clock.read()
    losses = [loss.item() for loss in losses]
    if args.save:
        model.save_pretrained(args.save)

    lengths = [len(s) + len(t) for _, s, t in examples]
    common.report(
        what="hf_train", dataset=args.dataset.rstrip("/").split("/")[-1], threads=args.threads,
        passive=args.passive, device=args.device, compiled=args.compile, batch=args.batch,
        steps=args.steps, group_by_length=args.group_by_length, precision="bf16" if args.bf16 else "fp32",
        examples_per_second=round(seen / wall, 2), real_tokens_per_second=round(real / wall), seconds=round(wall, 2),
        processor_seconds=round(processor, 2), examples_per_processor_second=round(seen / processor, 2),
        tokens_an_example=round(real / seen, 2),
        padded_tokens_an_example=round(spent / seen, 2), training_examples=len(examples),
        mean_tokens_of_all_examples=round(sum(lengths) / len(lengths), 2), first_loss=round(losses[0], 4),
        last_loss=round(losses[-1], 4), parameters=sum(w.numel() for w in model.parameters()),
        model={"d": 128, "layers": [4, 4], "heads": 6, "d_kv": 64, "ff": 1024, "vocabulary": len(common.VOCABULARY),
               "dropout": args.dropout},
        versions=common.versions("torch", "transformers", "numpy"))


if __name__ == "__main__":
    main()
