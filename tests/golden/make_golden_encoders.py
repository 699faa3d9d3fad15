#!/usr/bin/env python3
"""Writes encoder_<name>/ beside this script: what transformers' BertModel, LlamaModel and CLIPVisionModelWithProjection
compute, for our tests to equal.

    python3 -m venv venv
    venv/bin/pip install torch==2.5.1 transformers==4.45.2 numpy==2.2.6 safetensors==0.8.0 gguf==0.19.0
    venv/bin/python tests/golden/make_golden_encoders.py   # seconds, CPU only

The files are committed, so tests never need Python; README.md describes them in a section that is written here. This
script runs after make_golden_rqvae.py, which drops what follows its own sections.
`--out DIR` writes elsewhere, to compare.

Weights are random and rounded to the type that the file stores; then everything is computed in float64 from the rounded
weights and rounded once. A GGUF file's expected values come from its dequantized weights, by the package gguf.
"""
import argparse
import importlib.metadata
import pathlib
import re
import shutil

import gguf
import numpy
import safetensors.numpy
import torch
import transformers
from transformers import (BertConfig, BertForMaskedLM, BertModel, CLIPConfig, CLIPModel, CLIPVisionConfig,
                          CLIPVisionModelWithProjection, LlamaConfig, LlamaForCausalLM, LlamaModel)

VOCABULARY = 61

BERTS = {
    "bert": dict(seed=1, model=BertModel, dtype=torch.float32, lengths=[3, 16, 1, 9],
                 config=dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=40,
                             max_position_embeddings=16)),
    "bert_head": dict(seed=2, model=BertForMaskedLM, dtype=torch.float16, lengths=[7, 2, 30],
                      config=dict(hidden_size=20, num_attention_heads=5, num_hidden_layers=3, intermediate_size=36,
                                  max_position_embeddings=32, type_vocab_size=1)),
}
LLAMAS = {
    "llama": dict(seed=3, model=LlamaModel, dtype=torch.float32, lengths=[5, 1, 23],
                  config=dict(hidden_size=24, num_attention_heads=6, num_key_value_heads=2, num_hidden_layers=2,
                              intermediate_size=40, max_position_embeddings=64)),
    "llama_linear": dict(seed=4, model=LlamaForCausalLM, dtype=torch.float16, lengths=[12, 40, 2],
                         config=dict(hidden_size=18, num_attention_heads=3, num_key_value_heads=1, num_hidden_layers=2,
                                     intermediate_size=28, max_position_embeddings=64, rope_theta=500.0,
                                     rope_scaling={"rope_type": "linear", "factor": 2.5}, mlp_bias=True)),
    "llama_sharded": dict(seed=5, model=LlamaForCausalLM, dtype=torch.bfloat16, lengths=[60, 3, 17], shards="9KB",
                          config=dict(hidden_size=40, num_attention_heads=5, num_key_value_heads=5,
                                      num_hidden_layers=2, intermediate_size=48, max_position_embeddings=128,
                                      rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                    "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
                                      attention_bias=True)),
}
CLIPS = {
    "clip": dict(seed=6, model=CLIPModel, dtype=torch.float16, images=2, projection=12,
                 config=dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=36,
                             image_size=24, patch_size=8)),
    "clip_vision": dict(seed=7, model=CLIPVisionModelWithProjection, dtype=torch.bfloat16, images=2, projection=10,
                        config=dict(hidden_size=20, num_attention_heads=5, num_hidden_layers=2, intermediate_size=28,
                                    image_size=30, patch_size=7, hidden_act="gelu")),
}
# The type of each tensor of the GGUF file; the others are F32.
GGUF_TYPES = {"token_embd": "Q8_0", "attn_q": "Q4_1", "attn_k": "Q8_0", "attn_v": "Q4_0", "attn_output": "F16",
              "ffn_gate": "Q4_1", "ffn_up": "BF16", "ffn_down": "Q4_0"}
KEPT = ["token_embd", "blk.0.attn_q", "blk.0.attn_v"]  # whose dequantized entries are stored too


def randomize(model, seed):
    """Weights large enough for the attention to be far from uniform; norms and biases that can't be mistaken for 1 and 0."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            values = torch.randn(p.shape, generator=random)
            if p.dim() <= 1:
                is_gain = "norm" in name.lower() and name.endswith("weight") or "layrnorm.weight" in name
                p.copy_(0.2 * values + (1.0 if is_gain else 0.0))
            else:
                p.copy_(values * 1.2 / p.shape[-1] ** 0.5)


def sequences(seed, lengths):
    random = torch.Generator().manual_seed(1000 + seed)
    return [torch.randint(0, VOCABULARY, (n,), generator=random) for n in lengths]


def save(directory, model, case):
    """Rounds the model to the case's type, writes it, and returns it in float64."""
    model = model.to(case["dtype"])
    model.save_pretrained(directory, safe_serialization=True, max_shard_size=case.get("shards", "1GB"))
    for extra in ["generation_config.json"]:
        (directory / extra).unlink(missing_ok=True)
    return model.double().eval()


def write_texts(directory, model, texts, extra=None):
    """Each text alone, so that no padding or mask takes part."""
    with torch.no_grad():
        hidden = [model(input_ids=t[None]).last_hidden_state[0] for t in texts]
    offsets = numpy.cumsum([0] + [len(t) for t in texts])
    safetensors.numpy.save_file({
        "tokens": torch.cat(texts).numpy().astype(numpy.int32), "offsets": offsets.astype(numpy.int32),
        "hidden": torch.cat(hidden).numpy().astype(numpy.float32),
        "features": torch.stack([h.mean(0) for h in hidden]).numpy().astype(numpy.float32), **(extra or {}),
    }, directory / "golden.safetensors")


def fix_rotary(model):
    """transformers computes the angles in float32 whatever the model's type, which .double() alone can't change."""
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            inv_freq, _ = module.rope_init_fn(module.config, torch.device("cpu"))
            module.inv_freq = inv_freq
    return model


def write_bert(directory, case):
    config = BertConfig(vocab_size=VOCABULARY, **case["config"])
    model = case["model"](config)
    randomize(model, case["seed"])
    model = save(directory, model, case)
    write_texts(directory, getattr(model, "bert", model), sequences(case["seed"], case["lengths"]))


def write_llama(directory, case):
    config = LlamaConfig(vocab_size=VOCABULARY, **case["config"])
    model = case["model"](config)
    randomize(model, case["seed"])
    model = fix_rotary(save(directory, model, case))
    write_texts(directory, getattr(model, "model", model), sequences(case["seed"], case["lengths"]))


def write_clip(directory, case):
    vision = CLIPVisionConfig(**case["config"], projection_dim=case["projection"])
    if case["model"] is CLIPModel:
        text = dict(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=8, vocab_size=16,
                    max_position_embeddings=8)
        config = CLIPConfig(text_config=text, vision_config=vision.to_dict(), projection_dim=case["projection"])
    else:
        config = vision
    model = case["model"](config)
    randomize(model, case["seed"])
    model = save(directory, model, case)
    random = torch.Generator().manual_seed(1000 + case["seed"])
    size = case["config"]["image_size"]
    pixels = torch.randn((case["images"], 3, size, size), generator=random).half()
    with torch.no_grad():
        out = model.vision_model(pixel_values=pixels.double())
        features = model.visual_projection(out.pooler_output)
    safetensors.numpy.save_file({
        "pixels": pixels.numpy().reshape(case["images"], -1),
        "hidden": out.last_hidden_state.flatten(0, 1).numpy().astype(numpy.float32),
        "features": features.numpy().astype(numpy.float32),
    }, directory / "golden.safetensors")


def permuted(weight, heads):
    """llama.cpp's order of the rows of q and k: pairs side by side."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def restored(weight, heads):
    return weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(directory):
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=32, num_attention_heads=4, num_key_value_heads=2,
                         num_hidden_layers=2, intermediate_size=64, max_position_embeddings=64, rope_theta=5000.0,
                         rms_norm_eps=1e-5)
    model = LlamaModel(config)
    randomize(model, 8)
    names = {"embed_tokens": "token_embd", "norm": "output_norm"}
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    for layer in range(config.num_hidden_layers):
        names |= {f"layers.{layer}.{ours}": f"blk.{layer}.{theirs}" for ours, theirs in parts.items()}
    divisors = numpy.array([1.0, 1.5, 3.0, 8.0], numpy.float32)

    writer = gguf.GGUFWriter(directory / "model.gguf", "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_count(8)
    writer.add_array("test.texts", ["a", "", "cæsar"])
    writer.add_array("test.numbers", [-3, 0, 7])
    writer.add_bool("test.flag", True)
    writer.add_tensor("rope_freqs.weight", divisors)
    extra = {}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    with torch.no_grad():
        for name, p in model.named_parameters():
            target = names[name.removesuffix(".weight")]
            kind = target.split(".")[-1]
            kept = gguf.GGMLQuantizationType[GGUF_TYPES.get(kind, "F32")]
            values = p.numpy()
            stored = permuted(values, heads[kind]) if kind in heads else values
            blocks = gguf.quants.quantize(numpy.ascontiguousarray(stored), kept)
            writer.add_tensor(target + ".weight", blocks, raw_dtype=kept)
            back = gguf.quants.dequantize(blocks, kept).reshape(values.shape)
            if target in KEPT:
                extra["tensor." + target + ".weight"] = numpy.ascontiguousarray(back, numpy.float32)
            p.copy_(torch.from_numpy(numpy.ascontiguousarray(restored(back, heads[kind]) if kind in heads else back)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    model = fix_rotary(model.double().eval())
    model.rotary_emb.inv_freq = model.rotary_emb.inv_freq / torch.from_numpy(divisors)
    for layer in model.layers:
        if hasattr(layer.self_attn, "rotary_emb"):
            layer.self_attn.rotary_emb.inv_freq = layer.self_attn.rotary_emb.inv_freq / torch.from_numpy(divisors)
    write_texts(directory, model, sequences(8, [9, 33, 1]), extra)


README = """
## `encoder_<name>/`: one frozen encoder, one batch
What transformers' `BertModel`, `LlamaModel` and `CLIPVisionModelWithProjection` compute. Made with torch {torch}, transformers
{transformers}, gguf {gguf} by:

    venv/bin/python tests/golden/make_golden_encoders.py

| name | model | heads (of keys) × width | stored as | special |
|---|---|---|---|---|
| bert | BertModel | 3 × 8 | float32 | a text as long as the positions |
| bert_head | BertForMaskedLM, names with `bert.` | 5 × 4 | float16 | one token type |
| llama | LlamaModel | 6 (2) × 4 | float32 | |
| llama_linear | LlamaForCausalLM, names with `model.` | 3 (1) × 6 | float16 | linear rotary scaling, base 500, `mlp_bias` |
| llama_sharded | LlamaForCausalLM | 5 (5) × 8 | bfloat16, several files | llama3 rotary scaling, `attention_bias` |
| llama_gguf | `model.gguf` | 4 (2) × 8 | Q8_0, Q4_0, Q4_1, F16, BF16, F32 | `rope_freqs.weight`, base 5000 |
| clip | CLIPModel, with a text part | 3 × 8 | float16 | 24 × 24 pixels, patches of 8 |
| clip_vision | CLIPVisionModelWithProjection | 5 × 4 | bfloat16 | 30 × 30 pixels, patches of 7 (2 pixels unused), GELU |

| field of `golden.safetensors` | type, shape | meaning |
|---|---|---|
| `tokens`, `offsets` | int32 (tokens), (texts + 1) | packed texts, each computed alone |
| `pixels` | float16 (images, 3·size·size) | pictures, of CLIP |
| `hidden` | float32 (tokens, d), (images·(1 + patches), d) | `last_hidden_state` |
| `features` | float32 (texts, d), (images, projection) | the mean of a text's hidden states; `image_embeds` |
| `tensor.<name>` | float32, the tensor's shape | a tensor of the GGUF file of type Q8_0, Q4_1 or Q4_0, dequantized by the package gguf |

Computed in float64 from the stored weights, but with transformers' rotary angles, which are float32 whatever the model's type.
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    out = parser.parse_args().out
    for cases, write in [(BERTS, write_bert), (LLAMAS, write_llama), (CLIPS, write_clip), ({"llama_gguf": None}, None)]:
        for name, case in cases.items():
            directory = out / f"encoder_{name}"
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            write(directory, case) if write else write_gguf(directory)
    readme = out / "README.md"
    text = readme.read_text() if readme.exists() else ""
    section = README.format(torch=torch.__version__, transformers=transformers.__version__,
                            gguf=importlib.metadata.version("gguf"))
    text, replaced = re.subn(r"\n## `encoder_<name>/`.*?(?=\n## |\Z)", lambda _: section, text, flags=re.DOTALL)
    readme.write_text(text if replaced else text + section)


if __name__ == "__main__":
    main()
