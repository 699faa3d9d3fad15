#!/usr/bin/env python3
"""How well and how fast faiss turns embeddings into four codes of 256 without a neural network: one line of JSON a way.

    faiss_rq.py --embeddings F.npy [--threads 2] [--rounds 25] [--ways greedy beam opq_pq]

greedy: a residual quantizer, plain k-means on the residuals of each level and the nearest code (beam 1): residual k-means.
beam: faiss's own way, `ResidualQuantizer` as it comes: k-means in growing dimensions, and training and encoding keep the best 5
      prefixes. Its codes are not the nearest ones level by level.
opq_pq: a learned rotation and a product quantizer, without lists (no IVF). As many bits, but its codes are no refinement of each
        other: level l + 1 adds no information to level l.
All on the embeddings as they are, all rows for training. The encoding's speed is the best of --repeat passes over all rows.
"""
import argparse

import common

LEVELS, BITS = 4, 8


def set_clustering(parameters, args):
    parameters.niter, parameters.seed = args.rounds, args.seed
    parameters.min_points_per_centroid = 1  # a warning less; nothing else depends on it


def residual(faiss, d, args, own_way):
    quantizer = faiss.ResidualQuantizer(d, LEVELS, BITS)
    set_clustering(quantizer.cp, args)
    if not own_way:
        quantizer.train_type = faiss.ResidualQuantizer.Train_default
        quantizer.max_beam_size = 1
    return quantizer.train, quantizer.compute_codes, quantizer.decode, {"beam": quantizer.max_beam_size}


def rotated_product(faiss, d, args):
    rotation = faiss.OPQMatrix(d, LEVELS)
    quantizer, inner = faiss.ProductQuantizer(d, LEVELS, BITS), faiss.ProductQuantizer(d, LEVELS, BITS)
    for each in (quantizer, inner):
        set_clustering(each.cp, args)

    def train(x):
        rotation.pq = inner  # what the rotation is fitted with; it chooses the rounds itself
        rotation.train(x)
        quantizer.train(rotation.apply(x))
    return (train, lambda x: quantizer.compute_codes(rotation.apply(x)),
            lambda codes: rotation.reverse_transform(quantizer.decode(codes)), {"rotation_rounds": rotation.niter})


WAYS = {"greedy": lambda faiss, d, args: residual(faiss, d, args, own_way=False),
        "beam": lambda faiss, d, args: residual(faiss, d, args, own_way=True),
        "opq_pq": rotated_product}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", required=True, help="a .npy of (items, d)")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--rounds", type=int, default=25, help="k-means rounds (faiss's default; 10 for its residual quantizer)")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--repeat", type=int, default=5, help="encoding passes; the best counts")
    common.add_thread_options(parser)
    args = parser.parse_args()
    common.set_threads(args.threads, args.passive)
    import faiss
    import numpy
    faiss.omp_set_num_threads(args.threads)

    x = numpy.ascontiguousarray(numpy.load(args.embeddings), numpy.float32)
    for way in args.ways:
        train, encode, decode, details = WAYS[way](faiss, x.shape[1], args)
        clock = common.Clock()
        train(x)
        wall, processor = clock.read()
        passes = []
        for _ in range(args.repeat):
            clock = common.Clock()
            codes = encode(x)  # (items, levels) bytes: with 8 bits nothing is packed
            passes.append(clock.read())
        error = ((decode(codes).astype(numpy.float64) - x) ** 2).mean()
        common.report(
            what="faiss_rq", way=way, embeddings=args.embeddings.split("/")[-1], items=len(x), d=x.shape[1],
            threads=args.threads, passive=args.passive, seed=args.seed, rounds=args.rounds, **details,
            reconstruction_error=round(float(error), 8), variance=common.variance(x), **common.code_figures(codes.tolist()),
            training_seconds=round(wall, 2), training_processor_seconds=round(processor, 2),
            encoding_items_per_second=round(len(x) / min(w for w, _ in passes)),
            encoding_items_per_processor_second=round(len(x) / min(p for _, p in passes)),
            versions=common.versions("faiss", "numpy"))


if __name__ == "__main__":
    main()
