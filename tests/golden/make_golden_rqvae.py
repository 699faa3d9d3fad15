#!/usr/bin/env python3
"""Writes rqvae_<name>/ beside this script: what an RQ-VAE of PyTorch computes, for our tests to equal.

    python3 -m venv venv && venv/bin/pip install torch==2.5.1 numpy==2.2.6 safetensors==0.8.0
    venv/bin/python tests/golden/make_golden_rqvae.py      # two seconds, CPU only

The files are committed, so tests never need Python; README.md describes them (its last section is written here too, the rest
by make_golden.py). `--out DIR` writes elsewhere, to compare.

What one would get wrong: which commitment terms reach the encoder. The released code subtracts the straight-through output
of a level from its residual, and that difference has no gradient; so only the first level's term pulls z. The other rule,
residuals z − Σ sg[v], lets every level pull. Losses are equal, gradients of the encoder aren't: both are written.
"""
import argparse
import pathlib
import platform
import shutil

import numpy
import safetensors
import safetensors.numpy
import torch
from torch import nn
from torch.nn.functional import mse_loss

SMALLEST_MARGIN = 1e-4  # no choice of a code, in any step, is closer to a tie

# Widths are d_in, hidden, latent; sizes are K of each level. Powers of two in the loss: float32 holds them exactly.
CASES = {
    "equal_levels": dict(seed=1, widths=[24, 20, 12, 8], sizes=[6, 6, 6], rows=17, quant_weight=1.0, beta=0.25),
    "different_levels": dict(seed=22, widths=[10, 7, 4], sizes=[5, 3, 9, 2], rows=33, quant_weight=0.5, beta=0.375),
}


# ----------------------------------------------------------------------------------------------------------------- model

class Mlp(nn.Module):
    """Linear layers with ReLU between; Identity stands where the released code has dropout, so that names are its names."""

    def __init__(self, widths):
        super().__init__()
        layers = []
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Identity(), nn.Linear(before, after), nn.ReLU()]
        self.mlp_layers = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.mlp_layers(x)


class Level(nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.embedding = nn.Embedding(size, width)


class RqVae(nn.Module):
    def __init__(self, widths, sizes, quant_weight, beta):
        super().__init__()
        self.encoder = Mlp(widths)
        self.rq = nn.Module()
        self.rq.vq_layers = nn.ModuleList(Level(size, widths[-1]) for size in sizes)
        self.decoder = Mlp(widths[::-1])
        self.quant_weight, self.beta = quant_weight, beta

    def forward(self, x, all_levels):
        """Everything the loss is made of; all_levels: every commitment term reaches z, else the first level's only."""
        z = self.encoder(x)  # (n, w)
        residual, vectors, through, losses, codes, distances = z, [], [], [], [], []
        for level in self.rq.vq_layers:
            d = (residual.detach()[:, None] - level.embedding.weight.detach()).square().sum(-1)  # (n, K)
            code = d.argmin(-1)
            v = level.embedding(code)
            losses.append(mse_loss(v, residual.detach()) + self.beta * mse_loss(v.detach(), residual))
            codes.append(code)
            distances.append(d)
            vectors.append(v.detach())
            through.append(residual + (v - residual).detach())
            residual = residual - (vectors[-1] if all_levels else through[-1])
        quantized = z + (sum(vectors) - z).detach() if all_levels else sum(through)
        x_hat = self.decoder(quantized)
        reconstruction, quantization = mse_loss(x_hat, x), torch.stack(losses).mean()
        return dict(z=z, quantized=quantized, codes=torch.stack(codes, 1), distances=distances, x_hat=x_hat,
                    reconstruction_loss=reconstruction, quantization_loss=quantization,
                    loss=reconstruction + self.quant_weight * quantization)


def make_model(case):
    """Xavier-normal weights as in training, but biases away from 0; codebooks shrink with the level as residuals do."""
    torch.manual_seed(case["seed"])
    model = RqVae(case["widths"], case["sizes"], case["quant_weight"], case["beta"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.1 * torch.randn_like(parameter))
            elif "embedding" not in name:
                nn.init.xavier_normal_(parameter)
        for l, level in enumerate(model.rq.vq_layers):
            level.embedding.weight.mul_(0.5 * 0.7 ** l)
    return model


def copied(model, case, dtype):
    copy = RqVae(case["widths"], case["sizes"], case["quant_weight"], case["beta"])
    copy.load_state_dict(model.state_dict())
    return copy.to(dtype)


def margin(distances):
    """The least by which a nearest code beats the second, over rows and levels."""
    best = [d.topk(2, largest=False).values for d in distances]
    return min((b[:, 1] - b[:, 0]).min().item() for b in best)


# ---------------------------------------------------------------------------------------------------------------- golden

def gradients(model, x, all_levels):
    """One forward pass and d loss / d everything, z included."""
    model.zero_grad()
    out = model(x, all_levels)
    out["z"].retain_grad()
    out["quantized"].retain_grad()
    out["loss"].backward()
    return out, {"z": out["z"].grad} | {n: w.grad.clone() for n, w in model.named_parameters()}


def check_rule(model, out, grads, all_levels):
    """The stated rule in closed form, against autograd."""
    z, entries, levels = out["z"].detach(), out["z"].numel(), len(model.rq.vq_layers)
    residual, dz = z, out["quantized"].grad.clone()
    for l, level in enumerate(model.rq.vq_layers):
        v = level.embedding.weight.detach()[out["codes"][:, l]]
        pull = 2 * model.quant_weight / levels * (residual - v) / entries  # (n, w)
        if all_levels or l == 0:
            dz += model.beta * pull
        expected = torch.zeros_like(level.embedding.weight).index_add_(0, out["codes"][:, l], -pull)
        torch.testing.assert_close(grads[f"rq.vq_layers.{l}.embedding.weight"], expected, rtol=1e-12, atol=1e-14)
        residual = residual - v
    torch.testing.assert_close(grads["z"], dz, rtol=1e-12, atol=1e-14)


def train(model, x, all_levels, steps=10):
    """The loss before each AdamW step and the smallest margin on the way; nothing is clipped, everything decays."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-4)
    losses, margins = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        out = model(x, all_levels)
        out["loss"].backward()
        optimizer.step()
        losses.append(out["loss"].item())
        margins.append(margin(out["distances"]))
    return torch.tensor(losses, dtype=torch.float64), min(margins)


def compute(model, case, x, dtype):
    """Everything golden about a model and a batch, in one precision; the smallest margin of all choices of a code."""
    golden, margins = {}, []
    for suffix, all_levels in (("", False), ("_all_levels", True)):
        one = copied(model, case, dtype)
        out, grads = gradients(one, x.to(dtype), all_levels)
        if dtype == torch.float64:
            check_rule(one, out, grads, all_levels)
        golden |= {f"grad{suffix}.{name}": g for name, g in grads.items()}
        golden[f"adamw_losses{suffix}"], least = train(copied(model, case, dtype), x.to(dtype), all_levels)
        margins += [least, margin(out["distances"])]
    golden |= {name: out[name].detach() for name in ("z", "codes", "x_hat")}
    golden |= {f"distances.{l}": d for l, d in enumerate(out["distances"])}
    golden |= {name: out[name].detach().reshape(1) for name in ("loss", "reconstruction_loss", "quantization_loss")}
    return golden, min(margins)


def worst_errors(name, exact, plain):
    """Per group of fields, how far plain float32 is off; fails when float32 doesn't explain it."""
    worst = {}
    for key, value in exact.items():
        group = key.split(".")[0]
        error = (value.double() - plain[key].double()).abs().max().item()
        worst[group] = max(worst.get(group, 0.0), error)
        allowed = 1e-4 if group.startswith("adamw_losses") else 2e-5 * max(1.0, value.double().abs().max().item())
        assert error < allowed, f"{name}: {key} differs by {error} between float32 and float64"
    return {group: error for group, error in worst.items() if group != "codes"}


def save(path, tensors):
    """float64 is rounded here, once; codes become int32."""
    safetensors.numpy.save_file({name: t.to(torch.float32 if t.is_floating_point() else torch.int32).contiguous().numpy()
                                 for name, t in tensors.items()}, path)


def write_case(out, name):
    case = CASES[name]
    directory = out / f"rqvae_{name}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    model = make_model(case)
    random = numpy.random.default_rng(case["seed"] + 100)
    x = torch.from_numpy(random.standard_normal((case["rows"], case["widths"][0])).astype(numpy.float32))

    exact, least = compute(model, case, x, torch.float64)
    plain, _ = compute(model, case, x, torch.float32)
    assert least > SMALLEST_MARGIN, f"{name}: two codes are {least} apart, take another seed"
    worst = worst_errors(name, exact, plain)
    used = [len(set(exact["codes"][:, l].tolist())) for l in range(len(case["sizes"]))]
    assert all(u >= 2 for u in used), f"{name}: a level with one code in use tests nothing"
    save(directory / "model.safetensors", model.state_dict())
    save(directory / "golden.safetensors", exact | {"x": x, "quant_weight": torch.tensor([case["quant_weight"]]),
                                                    "beta": torch.tensor([case["beta"]])})
    losses = exact["adamw_losses"]
    print(f"rqvae_{name}: loss {losses[0]:.6f} -> {losses[-1]:.6f}, codes in use {used} of {case['sizes']}, smallest margin "
          f"{least:.1e}; float32 is off by " + ", ".join(f"{g} {e:.1e}" for g, e in sorted(worst.items())))
    return worst, used


# -------------------------------------------------------------------------------------------------------------- Sinkhorn

EPSILONS = ("0.003", "0.05")
ITERATIONS = 50


def centred(distances):
    middle = (distances.max() + distances.min()) / 2
    return (distances - middle) / (distances.max() - middle + 1e-5)


def sinkhorn(distances, epsilon, samples_last):
    """Plan (n, K) after 50 rounds, times n. 0.003 is far from converged then, so the order within a round matters."""
    q = torch.exp(-distances / epsilon)
    q /= q.sum()
    n, k = q.shape
    for _ in range(ITERATIONS):
        for samples in (not samples_last, samples_last):
            q /= q.sum(1 if samples else 0, keepdim=True)  # a sample's row sums to 1/n, a code's column to 1/K
            q /= n if samples else k
    return q * n


def write_sinkhorn(out, n=40, k=7):
    directory = out / "rqvae_sinkhorn"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    random = numpy.random.default_rng(31)
    points, vectors = random.standard_normal((n, 3)), 1.5 * random.standard_normal((k, 3))
    distances = torch.from_numpy(((points[:, None] - vectors) ** 2).sum(-1).astype(numpy.float32))
    golden, worst = {"distances": distances, "centred": centred(distances.double())}, 0.0
    for epsilon in EPSILONS:
        for order in ("codes_last", "samples_last"):
            plan = sinkhorn(golden["centred"], float(epsilon), order == "samples_last")
            rounded = sinkhorn(centred(distances).double(), float(epsilon), order == "samples_last")
            best = plan.topk(2).values
            least = (best[:, 0] - best[:, 1]).min().item()
            assert least > SMALLEST_MARGIN, f"sinkhorn {epsilon}: two codes are {least} apart, take another seed"
            worst = max(worst, (plan - rounded).abs().max().item())
            codes = plan.argmax(-1)
            assert worst < 1e-3 and torch.equal(codes, rounded.argmax(-1)), f"sinkhorn {epsilon}: float32 differs by {worst}"
            golden |= {f"{order}.plan.{epsilon}": plan, f"{order}.codes.{epsilon}": codes}
            print(f"rqvae_sinkhorn {epsilon} {order}: items a code {codes.bincount(minlength=k).tolist()}, nearest "
                  f"{distances.argmin(-1).bincount(minlength=k).tolist()}, smallest margin {least:.1e}")
    save(directory / "golden.safetensors", golden)
    apart = (golden[f"codes_last.plan.{EPSILONS[0]}"] - golden[f"samples_last.plan.{EPSILONS[0]}"]).abs().max().item()
    print(f"rqvae_sinkhorn: orders differ by {apart:.1e} at {EPSILONS[0]}, distances centred in float32 by {worst:.1e}")
    return worst, apart


# ----------------------------------------------------------------------------------------------------------------- files

SECTION_START = "## `rqvae_<name>/`"  # make_golden.py keeps what stands from here to the end
SECTION = SECTION_START + """: one quantitative translator, one batch
What an RQ-VAE in PyTorch computes. Made with {versions} by:

    venv/bin/python tests/golden/make_golden_rqvae.py

`model.safetensors` has the names of the released code's state dict: `encoder.mlp_layers.{{1,4,…}}.weight|bias`,
`decoder.mlp_layers.{{1,4,…}}.weight|bias`, `rq.vq_layers.<l>.embedding.weight`; ReLU between layers, none after the last.

| name | d_in, hidden, latent w | K of each level | codes in use | rows n | quant_weight | β |
|---|---|---|---|---|---|---|
{cases}

With r₁ = z, r₍ₗ₊₁₎ = rₗ − vₗ and vₗ the nearest code to rₗ (squared distance):
loss = mse(x̂, x) + quant_weight · mean over levels of (mse(vₗ, sg[rₗ]) + β · mse(sg[vₗ], rₗ)), where mse is the mean over all entries.

| field of `golden.safetensors` | type, shape | meaning |
|---|---|---|
| `x`, `z`, `x_hat` | float32 (n, d_in), (n, w), (n, d_in) | batch, latents, reconstruction |
| `quant_weight`, `beta` | float32 (1) | of the loss |
| `codes` | int32 (n, L) | nearest codes |
| `distances.<l>` | float32 (n, K) | squared distances of level l's residual to its codes, l from 0 |
| `loss`, `reconstruction_loss`, `quantization_loss` | float32 (1) | the loss and its two parts, the second before quant_weight |
| `grad.<parameter>`, `grad.z` | float32, the parameter's shape; (n, w) | d loss / d parameter and d loss / d z, **the released rule** |
| `grad_all_levels.<parameter>`, `grad_all_levels.z` | the same | the other rule; only `z` and the encoder differ |
| `adamw_losses`, `adamw_losses_all_levels` | float32 (10) | loss before each of ten steps on this batch: AdamW lr 1e-2, betas 0.9, 0.999, eps 1e-8, decay 1e-4 on everything, no clipping |

The released rule: a level's residual is reduced by its straight-through output rₗ + sg[vₗ − rₗ], so that rₗ has no gradient
for l ≥ 2. d loss / d z is that of the reconstruction (straight through) plus quant_weight / L · β · 2 (r₁ − v₁) / (n · w): the
first level's term alone. The other rule: residuals are z − Σ sg[v], and every level adds its term. In both, a code's
gradient is the sum over its rows of quant_weight / L · 2 (vₗ − rₗ) / (n · w). The script checks autograd against these.

All computed in float64 from the float32 weights, rounded once; no choice of a code, in ten steps either, is closer to a tie
than {margin:.0e} in squared distance. Plain float32 is off by at most:
{worst}.

## `rqvae_sinkhorn/`
Balanced codes for n = 40 samples and K = 7 codes. `distances` (n, K); `centred` (n, K): (d − middle) / (max − middle + 1e-5) with
middle = (max + min) / 2. For ε = 0.003 and 0.05: Q = exp(−centred / ε) / its sum, then {iterations} rounds, then Q · n. A round scales
each sample's row to the sum 1/n and each code's column to 1/K, in one of two orders:
- `codes_last.plan.<ε>`, `codes_last.codes.<ε>`: the row first, the column last. **The released order** (that of LC-Rec, whose
  quantizer the released code took over);
- `samples_last.plan.<ε>`, `samples_last.codes.<ε>`: the column first, the row last (SwAV's order).

`plan` is float32 (n, K), `codes` its rows' argmax, int32 (n); no argmax is closer than {margin:.0e} to a tie. Double precision
throughout: with ε = 0.003 the rounds have not converged (the orders differ by {apart:.1f}), and centring in float32, as the
released code does, moves the plan by up to {centring:.0e}.
"""


def write_readme(out, cases, sinkhorn_errors):
    rows = [f"| {name} | {', '.join(map(str, c['widths']))} | {', '.join(map(str, c['sizes']))} | "
            f"{', '.join(map(str, used))} | {c['rows']} | {c['quant_weight']} | {c['beta']} |"
            for (name, c), (_, used) in zip(CASES.items(), cases)]
    groups = sorted({g for worst, _ in cases for g in worst})
    off = ", ".join(f"{g} {max(worst.get(g, 0.0) for worst, _ in cases):.0e}" for g in groups)
    versions = (f"Python {platform.python_version()}, torch {torch.__version__}, numpy {numpy.__version__}, "
                f"safetensors {safetensors.__version__}")
    path = out / "README.md"
    before = path.read_text().partition(SECTION_START)[0].rstrip("\n") if path.exists() else ""
    path.write_text((before and before + "\n\n") + SECTION.format(versions=versions, cases="\n".join(rows), worst=off, margin=SMALLEST_MARGIN,
                                            iterations=ITERATIONS, centring=sinkhorn_errors[0], apart=sinkhorn_errors[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cases = [write_case(out, name) for name in CASES]
    write_readme(out, cases, write_sinkhorn(out))


if __name__ == "__main__":
    main()
