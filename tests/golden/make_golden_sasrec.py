#!/usr/bin/env python3
"""Writes sasrec/ beside this script: what our form of SASRec computes in PyTorch, for our tests to equal.

    python3 -m venv venv && venv/bin/pip install torch==2.5.1 numpy==2.2.6 safetensors==0.8.0
    venv/bin/python tests/golden/make_golden_sasrec.py      # two seconds, CPU only

The files are committed, so tests never need Python; README.md describes them. `--out DIR` writes elsewhere, to compare.
All is computed in float64 from the float32 weights, and rounded once.
"""
import argparse
import json
import pathlib

import safetensors.torch
import torch
from torch.nn.functional import cross_entropy, relu, scaled_dot_product_attention

CONFIG = {"model_type": "sasrec", "items": 23, "positions": 6, "width": 12, "layers": 2, "heads": 3, "inner_width": 20,
          "epsilon": 1e-6, "deviation": 0.02}
LENGTHS = [6, 1, 4]  # of the histories


def random_parameters():
    d, inner = CONFIG["width"], CONFIG["inner_width"]
    shapes = {"item_embedding": (CONFIG["items"], d), "position_embedding": (CONFIG["positions"], d), "norm": (d,)}
    for layer in range(CONFIG["layers"]):
        at = f"layers.{layer}."
        shapes |= {at + f"attention.{name}": (d, d) for name in ("query", "key", "value", "output")}
        shapes |= {at + "feed_forward.expand": (inner, d), at + "feed_forward.contract": (d, inner)}
        shapes |= {at + "attention_norm": (d,), at + "feed_forward_norm": (d,)}
    return {name + ".weight": torch.randn(shape) * 0.3 + (len(shape) == 1) for name, shape in shapes.items()}


def rms_norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + CONFIG["epsilon"]) * gain


def hidden_of(w, items):
    """The result of the last norm, (length, d), for one history."""
    length, d, heads = len(items), CONFIG["width"], CONFIG["heads"]
    split = lambda x: x.view(length, heads, d // heads).transpose(0, 1)
    x = w["item_embedding.weight"][items] + w["position_embedding.weight"][torch.arange(length - 1, -1, -1)]
    for layer in range(CONFIG["layers"]):
        of = lambda name: w[f"layers.{layer}.{name}.weight"]
        normed = rms_norm(x, of("attention_norm"))
        q, k, v = (split(normed @ of(f"attention.{name}").T) for name in ("query", "key", "value"))
        context = scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        x = x + context.transpose(0, 1).reshape(length, d) @ of("attention.output").T
        x = x + relu(rms_norm(x, of("feed_forward_norm")) @ of("feed_forward.expand").T) @ of("feed_forward.contract").T
    return rms_norm(x, w["norm.weight"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "sasrec")
    out = parser.parse_args().out
    torch.manual_seed(3)
    parameters = random_parameters()
    items = torch.randint(CONFIG["items"], (sum(LENGTHS),))
    targets = torch.randint(CONFIG["items"], (sum(LENGTHS),))
    w = {name: value.double().requires_grad_() for name, value in parameters.items()}
    logits = torch.cat([hidden_of(w, history) for history in items.split(LENGTHS)]) @ w["item_embedding.weight"].T
    loss = cross_entropy(logits, targets)
    loss.backward()
    golden = {"items": items.int(), "targets": targets.int(), "lengths": torch.tensor(LENGTHS).int(), "logits": logits,
              "loss": loss.reshape(1)} | {f"grad.{name}": value.grad for name, value in w.items()}
    out.mkdir(exist_ok=True)
    (out / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    safetensors.torch.save_file(parameters, out / "model.safetensors")
    rounded = {name: (value.detach().float() if value.is_floating_point() else value) for name, value in golden.items()}
    safetensors.torch.save_file({name: value.contiguous() for name, value in rounded.items()}, out / "golden.safetensors")


main()
