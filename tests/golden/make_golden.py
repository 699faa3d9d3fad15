#!/usr/bin/env python3
"""Writes the golden files beside this script: what Hugging Face's T5 computes, for our tests to equal.

    python3 -m venv venv && venv/bin/pip install torch==2.5.1 transformers==4.45.2 numpy==2.2.6 safetensors==0.8.0
    venv/bin/python tests/golden/make_golden.py            # about ten seconds, CPU only

The files are committed, so tests never need Python. They are a pure function of the seeds below and of the library
versions, which README.md (also written here) states. `--out DIR` writes elsewhere, to compare.

What one would get wrong: `model.double()` isn't float64 throughout. T5LayerNorm and the attention softmax go through
float32; `in_float64` undoes both, so that a golden number is the exact value rounded once. Every number is also computed
the plain float32 way, and the script fails when the two differ by more than float32 explains.
"""
import argparse
import contextlib
import json
import pathlib
import platform
import shutil

import numpy
import safetensors
import safetensors.numpy
import torch
import transformers
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5 import modeling_t5

PAD, EOS = 0, 1


@contextlib.contextmanager
def in_float64():
    """Keeps double tensors double where transformers 4.45 goes through float32; the relative position bucket stays float32."""
    def rms_norm(self, x):
        if x.dtype != torch.float64:
            return original_norm(self, x)
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def to_float(self, *args, **kwargs):
        return self if self.dtype == torch.float64 else original_float(self, *args, **kwargs)

    original_norm, original_float = modeling_t5.T5LayerNorm.forward, torch.Tensor.float
    modeling_t5.T5LayerNorm.forward, torch.Tensor.float = rms_norm, to_float
    try:
        yield
    finally:
        modeling_t5.T5LayerNorm.forward, torch.Tensor.float = original_norm, original_float


# ---------------------------------------------------------------------------------------------------------------- models

# heads · d_kv never equals d_model, so a mixed-up width can't pass. relu_untied has other buckets than the default.
MODELS = {
    "relu_tied": dict(seed=11, d_kv=6, num_heads=3, num_layers=2, num_decoder_layers=2, feed_forward_proj="relu",
                      tie_word_embeddings=True, encoder=[9, 1, 17, 5, 30], target=[5, 5, 5, 5, 5]),
    "relu_untied": dict(seed=12, d_kv=4, num_heads=5, num_layers=1, num_decoder_layers=3, feed_forward_proj="relu",
                        tie_word_embeddings=False, relative_attention_num_buckets=16, relative_attention_max_distance=40,
                        encoder=[60, 12, 3], target=[5, 2, 7]),
    "gated_gelu_tied": dict(seed=13, d_kv=6, num_heads=2, num_layers=1, num_decoder_layers=3,
                            feed_forward_proj="gated-gelu", tie_word_embeddings=True, encoder=[4, 21, 8, 2],
                            target=[5, 1, 5, 3]),
    "gated_gelu_untied": dict(seed=24, d_kv=4, num_heads=3, num_layers=2, num_decoder_layers=2,
                              feed_forward_proj="gated-gelu", tie_word_embeddings=False, encoder=[7, 16, 33],
                              target=[5, 5, 9]),
    # 84 = three prompts, twenty items of four codes, </s>; 200 and 150 pass the clamp at distance 128 both ways.
    "long": dict(seed=15, d_kv=6, num_heads=4, num_layers=2, num_decoder_layers=2, feed_forward_proj="relu",
                 tie_word_embeddings=True, encoder=[84, 200, 33, 2], target=[5, 150, 21, 1]),
}


def make_model(seed, vocab_size, **options):
    """HF's initialisation, then norm gains away from 1 and a relative bias that matters."""
    torch.manual_seed(seed)
    config = T5Config(vocab_size=vocab_size, d_model=16, d_ff=24, dropout_rate=0.0, pad_token_id=PAD, eos_token_id=EOS,
                      decoder_start_token_id=PAD, **options)
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layer_norm" in name:
                weight.copy_(1 + 0.3 * torch.randn_like(weight))
            elif "relative_attention_bias" in name:
                weight.copy_(0.8 * torch.randn_like(weight))
            elif ".q.weight" in name:
                weight.mul_(1.5)
    return model


def save_model(model, directory):
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink()  # not part of the contract


def make_batch(seed, vocab_size, encoder, target):
    random = numpy.random.default_rng(seed)
    def sequences(lengths):
        return [random.integers(2, vocab_size, n - 1).tolist() + [EOS] for n in lengths]
    return sequences(encoder), sequences(target)


def padded(sequences, fill):
    """(B, longest) with `fill` behind the shorter ones, and the mask of what is real."""
    longest = max(map(len, sequences))
    ids = torch.tensor([s + [fill] * (longest - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
    return ids, mask


def packed(prefix, sequences):
    return {f"{prefix}_tokens": numpy.array([t for s in sequences for t in s], numpy.int32),
            f"{prefix}_offsets": numpy.cumsum([0] + [len(s) for s in sequences]).astype(numpy.int32)}


def forward(model, encoder, target):
    """Mean cross-entropy over all target tokens; logits without the padding, (target tokens, V)."""
    ids, mask = padded(encoder, PAD)
    labels, label_mask = padded(target, -100)
    out = model(input_ids=ids, attention_mask=mask, labels=labels)
    return out.loss, out.logits[label_mask.bool()]


def train(model, encoder, target, steps):
    """The loss before each of `steps` AdamW steps on one batch, and the first gradient norm before clipping."""
    decayed = [w for n, w in model.named_parameters() if "layer_norm" not in n]
    others = [w for n, w in model.named_parameters() if "layer_norm" in n]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
                                  lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
    losses, norms = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss, _ = forward(model, encoder, target)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    return losses, norms[0]


def compute(model, encoder, target):
    """Everything golden about a model and a batch, in the model's own precision."""
    loss, logits = forward(model, encoder, target)
    model.zero_grad()
    loss.backward()
    golden = {f"grad.{n}": w.grad.detach().clone() for n, w in model.named_parameters()}
    golden |= {"loss": loss.detach().reshape(1), "logits": logits.detach()}
    losses, norm = train(model, encoder, target, steps=10)
    double = torch.float64
    return golden | {"adamw_losses": torch.tensor(losses, dtype=double), "grad_norm": torch.tensor([norm], dtype=double)}


def write_model_case(out, name, vocab_size=48):
    case = dict(MODELS[name])
    seed, lengths = case.pop("seed"), (case.pop("encoder"), case.pop("target"))
    encoder, target = make_batch(seed + 100, vocab_size, *lengths)
    directory = out / f"t5_{name}"
    save_model(make_model(seed, vocab_size, **case), directory)

    plain = compute(T5ForConditionalGeneration.from_pretrained(directory).train(), encoder, target)
    with in_float64():
        exact = compute(T5ForConditionalGeneration.from_pretrained(directory).double().train(), encoder, target)

    worst = {}
    for key, value in exact.items():
        group = key.split(".")[0]
        error = (value - plain[key].double()).abs().max().item()
        worst[group] = max(worst.get(group, 0.0), error)
        allowed = 1e-4 if group == "adamw_losses" else 2e-5 * max(1.0, value.abs().max().item())
        assert error < allowed, f"{name}: {key} differs by {error} between float32 and float64"
    arrays = packed("encoder", encoder) | packed("target", target)
    arrays |= {k: v.to(torch.float32).contiguous().numpy() for k, v in exact.items()}
    safetensors.numpy.save_file(arrays, directory / "golden.safetensors")
    losses = exact["adamw_losses"]
    print(f"t5_{name}: loss {losses[0]:.6f} -> {losses[-1]:.6f}, |grad| {exact['grad_norm'].item():.4f}, logits std "
          f"{exact['logits'].std():.2f}; float32 is off by " + ", ".join(f"{g} {e:.1e}" for g, e in sorted(worst.items())))
    return worst


# ------------------------------------------------------------------------------------------------------------- schedules

def write_schedules(out):
    def multipliers(make, steps):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        function = make(optimizer).lr_lambdas[0]
        return [float(function(step)) for step in range(steps)]

    pairs = [(0, 10), (1, 20), (5, 50), (10, 40), (3, 100), (7, 7)]
    cosine = [{"warmup": w, "total": t, "multipliers": multipliers(
        lambda o: transformers.get_cosine_schedule_with_warmup(o, w, t), t + 3)} for w, t in pairs]
    constant = [{"warmup": w, "total": t, "multipliers": multipliers(
        lambda o: transformers.get_constant_schedule_with_warmup(o, w), t + 3)} for w, t in pairs]
    write_json(out / "schedules.json", {"cosine": cosine, "constant": constant})


def write_relative_buckets(out):
    """bucket[i] is the bucket of key position − query position = first + i."""
    first, last = -300, 300
    cases = []
    for buckets, distance in [(32, 128), (16, 40), (8, 20), (64, 256)]:
        for bidirectional in (True, False):
            relative = torch.arange(first, last + 1)
            bucket = modeling_t5.T5Attention._relative_position_bucket(relative, bidirectional, buckets, distance)
            cases.append({"buckets": buckets, "max_distance": distance, "bidirectional": bidirectional, "first": first,
                          "bucket": bucket.tolist()})
    write_json(out / "relative_buckets.json", {"cases": cases})


# ---------------------------------------------------------------------------------------------------------------- search

LEVELS, CODES, PROMPTS = 4, 8, 18
FAMILIES = {"text": "abcd", "image": "ABCD"}


def vocabulary():
    tokens = ["<pad>", "</s>"]
    for letters in FAMILIES.values():
        tokens += [f"<{letter}_{code}>" for letter in letters for code in range(CODES)]
    return tokens + [f"<*_{i}>" for i in range(PROMPTS)]


def item_tokens(codes, modality):
    first = 2 + list(FAMILIES).index(modality) * LEVELS * CODES
    return [first + level * CODES + int(code) for level, code in enumerate(codes)]


def make_catalogue(random, items):
    """Codes drawn from a shrinking set of prefixes, so that branches differ; the last five items repeat earlier ones."""
    def sequences():
        skew = [random.dirichlet(numpy.full(CODES, a)) for a in (2.0, 0.8, 0.8, 0.8)]
        distinct = set()
        ordered = []
        while len(ordered) < items - 5:
            codes = tuple(int(random.choice(CODES, p=p)) for p in skew)
            if codes not in distinct:
                distinct.add(codes)
                ordered.append(codes)
        return ordered + [ordered[i] for i in (0, 7, 7, 30, 31)]
    return {m: [item_tokens(c, m) for c in sequences()] for m in FAMILIES}


def make_trie(sequences):
    trie = {}
    for sequence in sequences:
        node = trie
        for token in [PAD, *sequence, EOS]:
            node = node.setdefault(token, {})
    return trie


def children(trie, prefix):
    for token in prefix:
        trie = trie.get(token, {})
    return sorted(trie) or [EOS]  # a prefix outside the trie comes only from HF's filler beams


def token_log_probabilities(model, trie, source, sequence):
    """For each of the five tokens: log p over the whole vocabulary, and renormalised over the trie's children."""
    decoder = torch.tensor([[PAD, *sequence]])
    with torch.no_grad():
        log_p = torch.log_softmax(model(input_ids=torch.tensor([source]), decoder_input_ids=decoder).logits[0], -1)
    whole, renormalised = [], []
    for position, token in enumerate([*sequence, EOS]):
        allowed = log_p[position, children(trie, [PAD, *sequence[:position]])]
        whole.append(log_p[position, token].item())
        renormalised.append((log_p[position, token] - torch.logsumexp(allowed, 0)).item())
    return whole, renormalised


def search(model, sources, trie, beams, length_penalty):
    """Per source, (four code tokens, score), best first, as HF `generate` returns them for the padded batch."""
    ids, mask = padded(sources, PAD)
    with torch.no_grad():
        out = model.generate(
            input_ids=ids, attention_mask=mask, num_beams=beams, num_return_sequences=beams, max_new_tokens=5,
            do_sample=False, length_penalty=length_penalty, early_stopping=False, output_scores=True,
            return_dict_in_generate=True, prefix_allowed_tokens_fn=lambda _, prefix: children(trie, prefix.tolist()))
    found = []
    for i in range(len(sources)):
        rows = range(i * beams, (i + 1) * beams)
        # Filler beams start at -1e9 (or -inf): they aren't hypotheses.
        found.append([(out.sequences[r].tolist()[1:5], out.sequences_scores[r].item()) for r in rows
                      if out.sequences_scores[r].item() > -1e6])
    return found


SEARCHES = [  # catalogue: how many of the items, from the first on, are in the trie
    dict(name="beams_20", task="next_text_item", beams=20, length_penalty=1.0, catalogue=150),
    dict(name="beams_20_no_length_penalty", task="next_text_item", beams=20, length_penalty=0.0, catalogue=150),
    dict(name="beams_100", task="next_text_item", beams=100, length_penalty=1.0, catalogue=150),
    dict(name="image_beams_20", task="next_image_item", beams=20, length_penalty=1.0, catalogue=150),
    dict(name="asymmetric_image_beams_5", task="asymmetric_image", beams=5, length_penalty=1.0, catalogue=150),
    dict(name="catalogue_of_the_beam", task="next_text_item", beams=20, length_penalty=1.0, catalogue=20),
    dict(name="catalogue_below_the_beam", task="next_text_item", beams=20, length_penalty=1.0, catalogue=12),
]
TASKS = {"next_text_item": (0, "text", "text"), "next_image_item": (3, "image", "image"),
         "asymmetric_image": (6, "text", "image")}


def write_search(out):
    tokens = vocabulary()
    random = numpy.random.default_rng(7)
    directory = out / "search"
    model = make_model(21, len(tokens), d_kv=6, num_heads=4, num_layers=2, num_decoder_layers=2,
                       feed_forward_proj="relu", tie_word_embeddings=True)
    with torch.no_grad():
        model.shared.weight.mul_(2.0)  # sharper distributions: neighbouring scores lie further apart
    save_model(model, directory)
    plain = T5ForConditionalGeneration.from_pretrained(directory).eval()
    model = T5ForConditionalGeneration.from_pretrained(directory).eval().double()

    items = 150
    catalogue = make_catalogue(random, items)
    histories = [random.integers(0, items, n).tolist() for n in (1, 2, 5, 9, 14, 20)]
    cases = []
    with in_float64():
        for case in SEARCHES:
            prompt, source_modality, target_modality = TASKS[case["task"]]
            first_prompt = tokens.index("<*_0>") + prompt
            sources = [[first_prompt, first_prompt + 1, first_prompt + 2]
                       + [t for i in history for t in catalogue[source_modality][i]] + [EOS] for history in histories]
            valid = sorted({tuple(s) for s in catalogue[target_modality][:case["catalogue"]]})
            trie = make_trie(valid)
            found = search(model, sources, trie, case["beams"], case["length_penalty"])
            same = search(plain, sources, trie, case["beams"], case["length_penalty"])
            assert [[c for c, _ in h] for h in found] == [[c for c, _ in h] for h in same], "float32 finds another order"
            results = []
            for source, hypotheses in zip(sources, found):
                result = {"input": source, "hypotheses": []}
                for codes, score in hypotheses:
                    assert tuple(codes) in valid
                    whole, renormalised = token_log_probabilities(model, trie, source, codes)
                    assert abs(score - sum(whole) / 5 ** case["length_penalty"]) < 1e-5  # what SPEC §7 says a score is
                    hypothesis = {"tokens": codes, "score": score}
                    if case["catalogue"] <= case["beams"]:
                        hypothesis |= {"log_p": whole, "log_p_renormalised": renormalised}
                    result["hypotheses"].append(hypothesis)
                results.append(result)
            scores = [[h["score"] for h in r["hypotheses"]] for r in results]
            gaps = [a - b for s in scores for a, b in zip(s, s[1:])]
            assert all(g >= 0 for g in gaps) and all(len(s) == min(case["beams"], len(valid)) for s in scores)
            case = case | {"prompt": prompt, "source": source_modality, "target": target_modality,
                           "distinct_sequences": len(valid), "results": results}
            cases.append(case)
            print(f"search {case['name']}: {[len(s) for s in scores]} hypotheses, best {scores[0][0]:.4f}, worst "
                  f"{scores[0][-1]:.4f}, gaps <= 1e-4: {sum(g <= 1e-4 for g in gaps)} of {len(gaps)}")
    write_json(directory / "search.json", {
        "levels": LEVELS, "codes": CODES, "prompts": PROMPTS, "vocabulary": tokens,
        "items": [{m: catalogue[m][i] for m in FAMILIES} for i in range(items)], "histories": histories, "cases": cases})


# ----------------------------------------------------------------------------------------------------------------- files

def write_json(path, value):
    """One line a leaf list, so that a diff is readable and the file is small."""
    def round_floats(x):
        if isinstance(x, float):
            return float(f"{x:.12g}")
        if isinstance(x, list):
            return [round_floats(y) for y in x]
        return {k: round_floats(y) for k, y in x.items()} if isinstance(x, dict) else x

    def leaf(x):
        inside = x.values() if isinstance(x, dict) else x if isinstance(x, list) else []
        return not any(isinstance(y, (list, dict)) for y in inside)

    def text(x, indent):
        if leaf(x) or (isinstance(x, dict) and all(leaf(y) for y in x.values()) and len(x) <= 5):
            return json.dumps(x)
        inner = " " * (indent + 1)
        if isinstance(x, dict):
            return "{\n" + ",\n".join(f"{inner}{json.dumps(k)}: {text(y, indent + 1)}" for k, y in x.items()) + "}"
        return "[\n" + ",\n".join(inner + text(y, indent + 1) for y in x) + "]"

    path.write_text(text(round_floats(value), 0) + "\n")


README = """\
# Golden files

What Hugging Face's `T5ForConditionalGeneration` computes, for tests to equal. Written by `make_golden.py`, never by hand
(`rqvae_*/` and the README's sections on them by `make_golden_rqvae.py`):

    python3 -m venv venv && venv/bin/pip install torch==2.5.1 transformers==4.45.2 numpy==2.2.6 safetensors==0.8.0
    venv/bin/python tests/golden/make_golden.py

Made with {versions}.
Other versions of `transformers` may give other numbers. Weights are random, catalogue and histories too: nothing comes
from a real data set.

## `t5_<name>/`: one model, one batch
`config.json` and `model.safetensors` are what `save_pretrained` writes. Vocabulary 48, d 16, FF 24, dropout 0.
`tie_word_embeddings` is absent from a `config.json` when it is true, HF's default.

| name | layers | heads × d_kv | feed-forward | head | buckets, max distance | encoder lengths | target lengths |
|---|---|---|---|---|---|---|---|
{models}

`golden.safetensors`, everything packed (no padding; HF ran padded with masks, then the padding was taken out):

| field | type, shape | meaning |
|---|---|---|
| `encoder_tokens`, `encoder_offsets` | int32 (tokens), (B+1) | encoder input; sequence b is `[offsets[b], offsets[b+1])`, ends with `</s>` = 1 |
| `target_tokens`, `target_offsets` | int32 (tokens), (B+1) | labels, each ends with `</s>`; the decoder reads them shifted right behind `<pad>` = 0 |
| `logits` | float32 (target tokens, V) | row t predicts `target_tokens[t]` |
| `loss` | float32 (1) | mean cross-entropy over all target tokens |
| `grad.<parameter>` | float32, the parameter's shape | d loss / d parameter, names as in `model.safetensors` (the shared embedding once, `grad.shared.weight`; `grad.lm_head.weight` when untied) |
| `grad_norm` | float32 (1) | norm of the whole gradient, before clipping |
| `adamw_losses` | float32 (10) | loss before each of ten steps on this batch: gradients clipped to norm 1 (times 1 / (norm + 1e-6) when above), AdamW lr 1e-2, betas 0.9, 0.999, eps 1e-8, decay 0.01 on all but `layer_norm` weights |

All computed in float64 from the float32 weights, rounded once. HF in plain float32 is off by at most:
{worst}.
"gated-gelu" is `gelu_new`, the tanh form.

## `schedules.json`
`cosine` and `constant`: lists of `warmup`, `total`, `multipliers` (one for each step 0 … total + 2; the first optimizer step uses
`multipliers[0]`), from `get_cosine_schedule_with_warmup` and `get_constant_schedule_with_warmup`. Past `total` HF's cosine rises
again, which a trainer never sees.

## `relative_buckets.json`
`cases[i].bucket[j]`: bucket of (key position − query position) = `first` + j, for `buckets`, `max_distance`, `bidirectional`.

## `search/`
`config.json`, `model.safetensors`: a T5 over a vocabulary of 4 levels × 8 codes × two modalities + 18 prompts (84 tokens).
`search.json`:
- `vocabulary`: token texts by id; `items[i].text`, `items[i].image`: an item's four token ids (some items share them);
  `histories[u]`: item ids;
- `cases[c]`: `name`, `task`, `beams`, `length_penalty`, `catalogue` (the trie holds items 0 … catalogue − 1),
  `distinct_sequences` in that trie, `prompt` (number of the first of three prompt tokens), `source` and `target` modality, and
  `results[u]` for history u: `input` (encoder ids: prompts, history, `</s>`) and `hypotheses`, best first: `tokens` (four
  codes, without `<pad>` and `</s>`) and `score`.

A score is Σ log p over the four codes and `</s>`, log-softmax over the whole vocabulary, divided by 5^length_penalty. Where the
catalogue isn't larger than the beam the search is exhaustive, HF fills up with beams at −1e9 or −∞ (left out here), and each
hypothesis also has `log_p` (five numbers) and `log_p_renormalised` (over the trie's children), for the other scoring rules.

## `check_roundtrip.py`
The other direction, by hand: loads a checkpoint that our program wrote into `transformers` and compares logits.
"""

RQVAE_SECTION = "## `rqvae_<name>/`"  # from here to the end README.md is make_golden_rqvae.py's


def write_readme(out, worst):
    rows = []
    for name in MODELS:
        c = json.loads((out / f"t5_{name}" / "config.json").read_text())
        m = MODELS[name]
        rows.append(f"| {name} | {c['num_layers']} + {c['num_decoder_layers']} | {c['num_heads']} × {c['d_kv']} | "
                    f"{c['feed_forward_proj']} | {'tied' if m['tie_word_embeddings'] else 'own'} | "
                    f"{c['relative_attention_num_buckets']}, {c['relative_attention_max_distance']} | "
                    f"{', '.join(map(str, m['encoder']))} | {', '.join(map(str, m['target']))} |")
    versions = (f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
                f"numpy {numpy.__version__}, safetensors {safetensors.__version__}")
    groups = sorted({g for w in worst for g in w})
    off = ", ".join(f"{g} {max(w[g] for w in worst):.0e}" for g in groups)
    path = out / "README.md"
    rqvae = "".join(path.read_text().partition(RQVAE_SECTION)[1:]) if path.exists() else ""
    path.write_text(README.format(versions=versions, models="\n".join(rows), worst=off) + (rqvae and "\n" + rqvae))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    worst = [write_model_case(out, name) for name in MODELS]
    write_schedules(out)
    write_relative_buckets(out)
    write_search(out)
    write_readme(out, worst)


if __name__ == "__main__":
    main()
