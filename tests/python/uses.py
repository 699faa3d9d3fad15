"""A program that a type checker reads: what it accepts has the types that it states."""
import numpy as np
from numpy.typing import NDArray

import mql4grec


def best_of(recommender: mql4grec.Recommender, history: list[int]) -> tuple[int, float]:
    items, scores = recommender.recommend(history, k=1, deny=np.array(history))
    return int(items[0]), float(scores[0])


def rows(recommender: mql4grec.Recommender, histories: list[NDArray[np.int32]]) -> NDArray[np.float64]:
    return recommender.candidates(histories, k=10, codes=True).scores


def on_sale(model: str, dataset: mql4grec.Dataset, sale: NDArray[np.int32]) -> tuple[float, bool]:
    shop = mql4grec.Recommender.load(model, dataset.directory, sets={"sale": sale, "new": [1, 2]})
    shop.put_in_sets(3, {"sale"})
    found = shop.recommend([1], any_of=["sale"], none_of={"new"}, quotas={"brand:A": 2}, exclude_seen=True, scores="calibrated")
    return float(found.scores[0]), shop.explain([1], found.items, deadline=0.05).complete


def hit_rate(recommender: mql4grec.Recommender) -> float:
    return recommender.evaluate(at=[10]).sequence["fused"].hit[10]


def train(dataset: mql4grec.Dataset) -> float:
    return mql4grec.Trainer(dataset.directory, "model", recipe="fast").fit(lambda p: print(p.epoch, p.loss)).best_loss


def insert(recommender: mql4grec.Recommender, translator: mql4grec.Translator, features: NDArray[np.float32]) -> int:
    recommender.set_items([recommender.items], recommender.place((translator, features)))
    recommender.remove_items([0])
    return int(recommender.recommend_new([1], [recommender.items - 1]).items[0])
