#!/usr/bin/env python3
"""Does a checkpoint that our program wrote mean the same to `transformers`? Run by hand; the venv is make_golden.py's.

    check_roundtrip.py DIR PACKED.safetensors

DIR holds config.json and model.safetensors as our program wrote them. PACKED holds what our program computed with it:
encoder_tokens, encoder_offsets, target_tokens, target_offsets (int32, as in the golden files) and logits (float32,
target tokens × V). Prints the largest absolute difference; exits 1 when it is above --tolerance (1e-4), when
`transformers` misses, ignores or reshapes a tensor, or when the `safetensors` package refuses the file.
A golden directory passes: check_roundtrip.py t5_relu_tied t5_relu_tied/golden.safetensors
"""
import argparse
import pathlib
import sys

import numpy
import safetensors
import torch
from transformers import T5ForConditionalGeneration


def read(path):
    with safetensors.safe_open(path, framework="np") as file:  # checks header, offsets and the file's size
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def unpacked(arrays, name):
    tokens, offsets = arrays[f"{name}_tokens"], arrays[f"{name}_offsets"]
    if offsets[0] != 0 or offsets[-1] != len(tokens):
        sys.exit(f"{name}_offsets runs from {offsets[0]} to {offsets[-1]} but there are {len(tokens)} tokens")
    return [tokens[a:b].tolist() for a, b in zip(offsets, offsets[1:])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("packed", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()

    weights, metadata = read(args.directory / "model.safetensors")
    if metadata.get("format") != "pt":
        sys.exit(f"model.safetensors has __metadata__ {metadata}: transformers refuses a file without {{'format': 'pt'}}")
    print(f"model.safetensors: {len(weights)} tensors, {sum(w.size for w in weights.values())} numbers")
    model, info = T5ForConditionalGeneration.from_pretrained(args.directory, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info[what]:
            sys.exit(f"{what}: {info[what]}")
    loaded = model.state_dict()
    changed = [n for n, w in weights.items() if not numpy.array_equal(loaded[n].float().numpy(), w.astype(numpy.float32))]
    if changed:
        sys.exit(f"loaded with other values: {changed}")

    arrays, _ = read(args.packed)
    ours = arrays["logits"]
    theirs = []
    model.eval()
    with torch.no_grad():
        for source, target in zip(unpacked(arrays, "encoder"), unpacked(arrays, "target")):
            decoder = torch.tensor([[model.config.decoder_start_token_id] + target[:-1]])
            theirs.append(model(input_ids=torch.tensor([source]), decoder_input_ids=decoder).logits[0].numpy())
    theirs = numpy.concatenate(theirs)
    if ours.shape != theirs.shape:
        sys.exit(f"logits are {ours.shape}, transformers' are {theirs.shape}")
    difference = numpy.abs(ours - theirs)
    worst = numpy.unravel_index(numpy.nanargmax(difference), difference.shape)
    print(f"logits {ours.shape}: max abs difference {difference[worst]:.3g} at {tuple(map(int, worst))}: ours {ours[worst]:.7g}, "
          f"transformers' {theirs[worst]:.7g}; tolerance {args.tolerance:g}")
    sys.exit(0 if numpy.all(difference <= args.tolerance) else 1)  # NaN fails


if __name__ == "__main__":
    main()
