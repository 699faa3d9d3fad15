"""Features in .npy files, and the arguments of a small translation of them."""
import random
import struct
from pathlib import Path

from support import ITEMS

WIDTH = 10


def write_features(path, rows=ITEMS, zero=(), twins=(), change=lambda values: None, seed=5):
    """A .npy file as numpy writes it; rows in `zero` are zeros, and every row of a pair in `twins` equals the other."""
    chance = random.Random(seed)
    centres = [[chance.gauss(0, 1) for _ in range(WIDTH)] for _ in range(8)]
    values = [[c + chance.gauss(0, 0.3) for c in centres[row % 8]] for row in range(rows)]
    for row in zero:
        values[row] = [0.0] * WIDTH
    for row, other in twins:
        values[row] = values[other]
    change(values)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {WIDTH}), }}"
    header += " " * ((64 - (10 + len(header) + 1) % 64) % 64) + "\n"
    body = b"".join(struct.pack(f"<{WIDTH}f", *row) for row in values)
    Path(path).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body)


def translation(embeddings="F.npy", index="Tiny/Tiny.index_lemb.json", modality="text", out="translator", **more):
    words = ["translate", "--embeddings", embeddings, "--modality", modality, "--out-model", out, "--out-index", index]
    options = {"codes": 6, "epochs": 12, "batch_size": 16, "evaluate_every": 3, "threads": 1} | more
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return words
