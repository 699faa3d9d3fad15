#!/usr/bin/env python3
"""How fast PyTorch trains the paper's RQ-VAE on a file of embeddings, and how well: items/s on the CPU, fp32 or bf16, and its codes.

    rqvae_train.py --embeddings F.npy [--epochs 300] [--threads 2] [--seed 0] [--eval-every 20] [--bf16] [--save model.safetensors]

The released code's way: MLP d_in-2048-1024-512-256-128-64-32 and its mirror, ReLU between layers, Xavier-normal; 4 codebooks of
256, from k-means on the first batch's residuals; nearest codes at all levels but the last, Sinkhorn (0.003, 50 rounds, double)
there; straight-through outputs subtracted from the residuals; AdamW 1e-3, decay 1e-4, batch 2048, rows shuffled each epoch and
the short last batch kept. Batches are cut from one tensor: a DataLoader would only be slower.
--bf16 trains under torch.autocast: layers' products in bf16, weights and moments in fp32, distances and losses in fp32.
Only training steps are timed, not k-means, not the evaluations: those take nearest codes of all rows. Figures at the end are
the last epoch's; with --eval-every the epoch with the fewest collisions is reported too, which the released code keeps.
"""
import argparse
import sys

import common

HIDDEN, WIDTH = (2048, 1024, 512, 256, 128, 64), 32
BETA, SINKHORN_ROUNDS, KMEANS_ROUNDS = 0.25, 50, 100


def kmeans(rows, k, generator):
    """k-means++ and Lloyd's rounds: (k, w) centres of (n, w) rows. An empty cluster keeps its centre."""
    import torch
    centres = rows[torch.randint(len(rows), (1,), generator=generator, device=rows.device)]
    nearest = (rows - centres).square().sum(1)
    while len(centres) < k:
        # Fewer distinct rows than codes: every distance is zero and any row will do.
        weights = nearest if nearest.sum() > 0 else torch.ones_like(nearest)
        centre = rows[torch.multinomial(weights, 1, generator=generator)]
        nearest = torch.minimum(nearest, (rows - centre).square().sum(1))
        centres = torch.cat([centres, centre])
    codes = None
    for _ in range(KMEANS_ROUNDS):
        before, codes = codes, torch.cdist(rows, centres).argmin(1)
        if before is not None and torch.equal(before, codes):
            break
        counts = torch.bincount(codes, minlength=k)
        sums = torch.zeros_like(centres).index_add_(0, codes, rows)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    return centres


def sinkhorn_codes(distances, epsilon):
    """The released order: a sample's row is scaled first, a code's column last. distances (n, K) → codes (n)."""
    import torch
    middle = (distances.max() + distances.min()) / 2
    q = torch.exp(((distances - middle) / (distances.max() - middle + 1e-5)).double() / -epsilon)
    q /= q.sum()
    n, k = q.shape
    for _ in range(SINKHORN_ROUNDS):
        q /= q.sum(1, keepdim=True)
        q /= n
        q /= q.sum(0, keepdim=True)
        q /= k
    return q.argmax(1)


def make_model(d_in, args):
    """Parameters are named as in the released code's state dict."""
    import torch
    from torch import nn
    from torch.nn.functional import mse_loss

    def mlp(widths):
        layers = []
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Identity(), nn.Linear(before, after), nn.ReLU(inplace=True)]  # Identity: the place of dropout 0
            nn.init.xavier_normal_(layers[-2].weight)
            nn.init.zeros_(layers[-2].bias)
        module = nn.Module()
        module.mlp_layers = nn.Sequential(*layers[:-1])
        return module

    class RqVae(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = mlp((d_in, *HIDDEN, WIDTH))
            self.decoder = mlp((WIDTH, *HIDDEN[::-1], d_in))
            self.rq = nn.Module()
            self.rq.vq_layers = nn.ModuleList()
            for _ in args.sinkhorn:
                self.rq.vq_layers.append(nn.Module())
                self.rq.vq_layers[-1].embedding = nn.Embedding(args.codes, WIDTH)
            self.sinkhorn_clock = [0.0, 0.0]  # wall and processor seconds

        def start_codebooks(self, x, generator):
            """Codebooks from k-means on the residuals of one batch."""
            with torch.no_grad():
                residual = self.encoder.mlp_layers(x)
                for level in self.rq.vq_layers:
                    level.embedding.weight.copy_(kmeans(residual, args.codes, generator))
                    residual = residual - level.embedding(self.distances(residual, level).argmin(1))

        @staticmethod
        def distances(residual, level):
            codebook = level.embedding.weight  # (K, w)
            return residual.square().sum(1, keepdim=True) + codebook.square().sum(1) - 2 * residual @ codebook.T

        def codes_of(self, residual, level, epsilon):
            with torch.no_grad():
                distances = self.distances(residual, level)
                if epsilon == 0:
                    return distances.argmin(1)
                clock = common.Clock()
                codes = sinkhorn_codes(distances, epsilon)
                self.sinkhorn_clock = [a + b for a, b in zip(self.sinkhorn_clock, clock.read())]
                return codes

        def layers(self, mlp, x, rounded):
            with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=rounded):
                return mlp.mlp_layers(x).float()

        def forward(self, x, epsilons, rounded=False):
            """x̂, the quantization loss and the codes (n, L)."""
            residual, quantized, losses, codes = self.layers(self.encoder, x, rounded), 0, [], []
            for level, epsilon in zip(self.rq.vq_layers, epsilons):
                codes.append(self.codes_of(residual, level, epsilon))
                v = level.embedding(codes[-1])
                losses.append(mse_loss(v, residual.detach()) + BETA * mse_loss(v.detach(), residual))
                through = residual + (v - residual).detach()
                residual = residual - through
                quantized = quantized + through
            return self.layers(self.decoder, quantized, rounded), torch.stack(losses).mean(), torch.stack(codes, 1)

    return RqVae()


def evaluate(model, x, args):
    """Nearest codes of all rows."""
    import torch
    squares, codes = 0.0, []
    with torch.no_grad():
        for rows in x.split(args.batch):
            x_hat, _, c = model(rows, [0] * len(args.sinkhorn))
            squares += (x_hat - rows).double().square().sum().item()
            codes.append(c)
    return dict(reconstruction_error=round(squares / x.numel(), 8)) | common.code_figures(torch.cat(codes).tolist())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", required=True, help="a .npy of (items, d_in)")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--codes", type=int, default=256, help="K of every level")
    parser.add_argument("--sinkhorn", type=float, nargs="+", default=[0, 0, 0, 0.003], help="ε of each level; 0: nearest")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--bf16", action="store_true", help="train under torch.autocast in bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-every", type=int, default=0, help="epochs between evaluations; 0: only after the last")
    common.add_thread_options(parser)
    common.add_device_option(parser)
    parser.add_argument("--save", help="write the last epoch's weights to this .safetensors file")
    args = parser.parse_args()
    common.set_threads(args.threads, args.passive)
    import numpy
    import safetensors.torch
    import torch
    from torch.nn.functional import mse_loss
    torch.set_num_threads(args.threads)

    x = torch.from_numpy(numpy.load(args.embeddings).astype(numpy.float32)).to(args.device)
    torch.manual_seed(args.seed)
    generator = torch.Generator(args.device).manual_seed(args.seed)
    model = make_model(x.shape[1], args).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=args.weight_decay)
    whole, wall, processor, best, losses = common.Clock(), 0.0, 0.0, {}, []
    for epoch in range(1, args.epochs + 1):
        order = torch.randperm(len(x), generator=generator, device=args.device)
        if epoch == 1:
            model.start_codebooks(x[order[:args.batch]], generator)
        clock = common.Clock()
        for rows in order.split(args.batch):
            batch = x[rows]
            optimizer.zero_grad()
            x_hat, quantization, _ = model(batch, args.sinkhorn, args.bf16)
            loss = mse_loss(x_hat, batch) + quantization
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        common.synchronize(args.device)
        wall, processor = (a + b for a, b in zip((wall, processor), clock.read()))
        if args.eval_every and epoch % args.eval_every == 0 or epoch == args.epochs:
            last = evaluate(model, x, args)
            if not best or last["collision_rate"] < best["collision_rate"]:
                best = {"epoch": epoch} | last
            print(f"epoch {epoch}: loss {losses[-1]:.6f}, error {last['reconstruction_error']:.6f}, collisions "
                  f"{last['collision_rate']:.4f}, codes {last['codes_used']}", file=sys.stderr, flush=True)
    losses = [loss.item() for loss in losses]
    if args.save:
        safetensors.torch.save_file(model.state_dict(), args.save)

    seen = args.epochs * len(x)
    common.report(
        what="rqvae_train", embeddings=args.embeddings.split("/")[-1], items=len(x), d_in=x.shape[1], threads=args.threads,
        passive=args.passive, device=args.device, precision="bf16" if args.bf16 else "fp32", seed=args.seed, batch=args.batch, epochs=args.epochs, steps=len(losses),
        sinkhorn=args.sinkhorn, items_per_second=round(seen / wall, 1), training_seconds=round(wall, 2),
        processor_seconds=round(processor, 2), items_per_processor_second=round(seen / processor, 1),
        sinkhorn_seconds=round(model.sinkhorn_clock[0], 2), seconds=round(whole.read()[0], 2), variance=common.variance(x),
        **last, best=best, first_loss=round(losses[0], 6), last_loss=round(losses[-1], 6),
        parameters=sum(w.numel() for w in model.parameters()), versions=common.versions("torch", "numpy", "safetensors"))


if __name__ == "__main__":
    main()
