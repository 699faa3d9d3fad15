"""A small dataset whose next item is known, and a model of it."""
import math
import threading
from pathlib import Path

import numpy as np
import pytest

import mql4grec

ITEMS, USERS, LENGTH = 40, 60, 8


@pytest.fixture(scope="session")
def interactions() -> dict[str, list]:
    """Every user walks along a circle of items; the rows are in no order but that of time."""
    rows = [(f"u{user:02}", f"i{(3 * user + step) % ITEMS:02}", 1000.0 + step) for user in range(USERS) for step in range(LENGTH)]
    rows = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    return dict(zip(("user", "item", "time"), (list(column) for column in zip(*rows))))


@pytest.fixture(scope="session")
def features() -> np.ndarray:
    angle = 2 * math.pi * np.arange(ITEMS) / ITEMS
    noise = np.random.default_rng(2).normal(0, 0.1, (ITEMS, 4))
    return np.column_stack((np.cos(angle), np.sin(angle), noise)).astype(np.float32)


@pytest.fixture(scope="session")
def ring(tmp_path_factory, interactions, features) -> mql4grec.Dataset:
    return mql4grec.write_dataset(tmp_path_factory.mktemp("data") / "Ring", interactions, features={"text": features, "image": features[:, ::-1]},
                                  titles=[f"item {i}" for i in range(ITEMS)], levels=3, code_count=8, threads=1)


def trainer(ring: mql4grec.Dataset, out: Path, **options) -> mql4grec.Trainer:
    return mql4grec.Trainer(ring.directory, out, **{"tasks": "next", "epochs": 40, "batch_size": 32, "dropout": 0.0, "patience": 0, "model_width": 32,
                                                    "inner_width": 32, "heads": 2, "head_width": 16, "layers": 1, "threads": 1, **options})


@pytest.fixture(scope="session")
def model(tmp_path_factory, ring) -> Path:
    out = tmp_path_factory.mktemp("models") / "model"
    assert trainer(ring, out).fit().outcome == "finished"
    return out


@pytest.fixture(scope="session")
def shop(model, ring) -> mql4grec.Recommender:
    return mql4grec.Recommender.load(model, ring.directory)


@pytest.fixture
def counting():
    """Counts in another thread while a computation runs: it stands still if the interpreter's lock is held."""
    class Counter:
        def __enter__(self):
            self.count, self.stop = 0, threading.Event()
            self.thread = threading.Thread(target=self.run)
            self.thread.start()
            return self

        def run(self):
            while not self.stop.wait(0.001):
                self.count += 1

        def __exit__(self, *_):
            self.stop.set()
            self.thread.join()
    return Counter()
