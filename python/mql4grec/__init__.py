"""Generative recommendation in a quantitative language: load a model and recommend, evaluate, train.

    import mql4grec
    recommender = mql4grec.Recommender.load("model", "data/Shop")
    items, scores = recommender.recommend([12, 7, 99], k=10)

All computations run without the interpreter's lock, so threads of Python run at the same time.
"""
from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._core import Progress
from ._errors import Error, FileError, InvalidArgument, TrainingError
from ._paths import path_text
from .data import Dataset, quantize, write_dataset

__all__ = ["Candidates", "Dataset", "Error", "Evaluation", "Explanation", "FileError", "InvalidArgument", "Metrics", "Progress", "Ranking", "Recommender",
           "Trainer", "TrainingError", "Translator", "quantize", "write_dataset"]
__version__: str = _core.version()

Path = Union[str, "os.PathLike[str]"]
Precision = Literal["fp32", "bf16", "int8"]
Scores = Literal["raw", "renormalized", "calibrated"]

_PRECISIONS = {"fp32": 0, "bf16": 1, "int8": 2}
_MODALITIES = {"text": 1, "image": 2, **{f"modality{m}": 1 + m for m in range(2, 8)}}
_SCORES = {"raw": 0, "renormalized": 1, "calibrated": 2}
_SPLITS = {"test": 0, "valid": 1}
_RECIPES = {"paper": 0, "fast": 1, "small": 2}


class Ranking(NamedTuple):
    """The answer to one request, best first."""

    items: NDArray[np.int32]
    """(n): fewer than k only if fewer are allowed"""
    scores: NDArray[np.float64]
    """(n): never increasing"""


@dataclass(frozen=True)
class Candidates:
    """The answers to several requests, as arrays: what a ranker reads."""

    items: NDArray[np.int32]
    """(requests, k), best first; −1 beyond `counts`"""
    scores: NDArray[np.float64]
    """(requests, k); −infinity beyond `counts`; calibrated ones are not a number where the deadline ended the search"""
    codes: NDArray[np.int32] | None
    """(requests, k, codes of an item): those of text, then of images; −1 where an item lacks a modality; None unless asked for"""
    counts: NDArray[np.int64]
    """(requests): items found"""
    complete: NDArray[np.bool_]
    """(requests): false where the deadline ended the search"""
    seconds: NDArray[np.float64]
    """(requests, 3): of the encoder, the search and the ranking; requests that were searched together share them"""


class Explanation(NamedTuple):
    """Why items are recommended after a history."""

    log_p: NDArray[np.float64]
    """(items): the logarithm of the mean of an item's probabilities in its modalities"""
    drops: NDArray[np.float64]
    """(items, history): by how much log_p falls if this position is left out of the history; negative: it rises; not a
    number for positions that the model doesn't read (it reads the last 20)"""
    shared_codes: NDArray[np.int32]
    """(items, history, modalities): the leading codes that both items have in common; −1 for positions that aren't read"""
    complete: bool
    """false if the deadline ended the call: positions that weren't computed are as those that aren't read, and without time
    for the whole history log_p isn't a number either"""


class Metrics(NamedTuple):
    """Means over users, by cut-off."""

    hit: dict[int, float]
    """HR@k"""
    ndcg: dict[int, float]
    """NDCG@k"""


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model. `sequence`: by token sequence, the paper's criterion; `item`: of the item itself, in
    expectation where several items share a sequence. Keys: fused, text, image, and modality2, … if there are more."""

    sequence: dict[str, Metrics]
    item: dict[str, Metrics]
    users: int
    seconds: float


def _choice(value: str, choices: dict[str, int], name: str) -> int:
    if value not in choices:
        raise InvalidArgument(f"{name} is {value!r}, expected {', '.join(choices)}")
    return choices[value]


def _milliseconds(deadline: float | None) -> float:
    """0: none. A deadline that has passed is the shortest one."""
    return 0 if deadline is None else max(1e3 * deadline, 1e-6)


def _names(sets: Iterable[str], name: str) -> list[str]:
    names = [sets] if isinstance(sets, str) else list(sets)
    if isinstance(sets, str) or not all(isinstance(one, str) for one in names):
        raise InvalidArgument(f"{name}: expected a list of names of sets, found {sets!r}")
    return names


def _quotas(quotas: Mapping[str, int] | None) -> list[tuple[str, int]]:
    limits = np.iinfo(np.int64)
    for name, most in (quotas or {}).items():
        if not isinstance(name, str) or not isinstance(most, (int, np.integer)) or not limits.min <= most <= limits.max:
            raise InvalidArgument(f"quotas: expected whole numbers by the names of sets, found {most!r} items of {name!r}")
    return [(name, int(most)) for name, most in (quotas or {}).items()]


def _items(values: ArrayLike, name: str) -> NDArray[np.int32]:
    """The values as item numbers. Raises InvalidArgument for others than whole numbers."""
    array = np.asarray(values)
    if array.size == 0:
        return np.empty(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidArgument(f"{name}: expected a list of item numbers, found an array of {array.dtype} with {array.ndim} dimensions")
    limits = np.iinfo(np.int32)
    if array.min() < limits.min or array.max() > limits.max:
        raise InvalidArgument(f"{name}: item numbers from {array.min()} to {array.max()}, expected at most {limits.max}")
    return np.ascontiguousarray(array, np.int32)


class Translator:
    """A trained translator, which gives single items their codes; see Recommender.place()."""

    def __init__(self, core: _core.Translator) -> None:
        """Use load()."""
        self._core = core

    @classmethod
    def load(cls, directory: Path) -> Translator:
        """Loads what quantize(out=…), write_dataset(translators=…) or `mql4grec translate` has written."""
        return cls(_core.Translator(path_text(directory)))


class Recommender:
    """A model and a catalog. Any number of threads may use it at once, also while others change its items."""

    def __init__(self, core: _core.Recommender) -> None:
        """Use load()."""
        self._core = core

    @classmethod
    def load(cls, model: Path, dataset: Path, *, precision: Precision = "fp32", beams: int = 20, catalog_log: Path | None = None,
             sets: Mapping[str, ArrayLike] | None = None) -> Recommender:
        """Loads a model directory and a dataset directory. Requests for more items than beams use more beams.

        catalog_log: the file of the log of changes of the catalog, which is created, or replayed if it exists; without
        one, changes are lost with the object. sets: items by the name of a set, besides the dataset's own sets: "brand:…" and
        "category:…" of its descriptions, and those of `Name.sets.json`. With a log, give the same ones at every start.
        """
        return cls(_core.Recommender(path_text(model), path_text(dataset), _choice(precision, _PRECISIONS, "precision"), beams,
                                     None if catalog_log is None else path_text(catalog_log),
                                     [(name, _items(items, f"sets[{name!r}]")) for name, items in (sets or {}).items()]))

    @property
    def items(self) -> int:
        """The number of items; they are numbered from 0. It grows when items are inserted."""
        return self._core.items

    @property
    def users(self) -> int:
        """The number of users of the dataset; they are numbered from 0."""
        return self._core.users

    @property
    def levels(self) -> list[int]:
        """The number of codes of an item in each modality: text, images, …"""
        return self._core.levels

    def title(self, item: int) -> str:
        """The title of an item; empty if the dataset has none."""
        return self._core.title(item)

    def codes(self, items: ArrayLike) -> NDArray[np.int32]:
        """The codes of items, (items, codes): those of text, then of images; −1 where an item lacks a modality, and for removed items."""
        return self._core.codes(_items(items, "items"))

    def place(self, *features: tuple[Translator, ArrayLike]) -> NDArray[np.int32]:
        """The codes of an item for set_items(), from pairs of a translator and its features: the nearest codes, or the
        nearest free ones. −1 in modalities without a translator. Doesn't change the catalog: place and set items one
        after another, since two that are placed before one of them is set may get the same codes.
        """
        codes = np.full(sum(self.levels), -1, np.int32)
        for translator, row in features:
            array = np.ascontiguousarray(row, np.float32)
            if array.ndim != 1:
                raise InvalidArgument(f"features: an array with {array.ndim} dimensions, expected those of one item")
            self._core.place(translator._core, array, codes)
        return codes

    def set_items(self, items: ArrayLike, codes: ArrayLike) -> None:
        """Inserts items, or gives them other codes (items, codes), as codes() returns them. Item numbers may be larger than
        all existing ones. The changes become visible together, and with a log they are on the disk when the call returns;
        if one doesn't fit the catalog, none is made.
        """
        numbers, array = _items(items, "items"), np.asarray(codes)
        if array.dtype.kind not in "iu" or (array.size > 0 and (array.min() < -1 or array.max() > np.iinfo(np.int32).max)):
            raise InvalidArgument(f"codes: an array of {array.dtype}, expected codes from 0 on, and −1")
        self._core.set_items(numbers, np.ascontiguousarray(array.reshape(-1, array.shape[-1]) if array.ndim > 0 else array.reshape(1, 1), np.int32))

    def remove_items(self, items: ArrayLike) -> None:
        """Removes items, in the same way. An item that isn't there is no error; histories may still contain it."""
        self._core.remove_items(_items(items, "items"))

    def put_in_sets(self, item: int, sets: Iterable[str]) -> None:
        """Puts an item that has codes in these sets, and in no others, in the same way. A new name makes a new set. Items that
        are given other codes or removed stay in their sets.
        """
        self._core.put_in_sets(item, _names(sets, "sets"))

    def history(self, user: int) -> NDArray[np.int32]:
        """The items of a user of the dataset, oldest first."""
        return self._core.history(user)

    def recommend(self, history: ArrayLike, k: int = 10, *, allow: ArrayLike | None = None, deny: ArrayLike | None = None,
                  any_of: Iterable[str] = (), all_of: Iterable[str] = (), none_of: Iterable[str] = (), quotas: Mapping[str, int] | None = None,
                  exclude_seen: bool = False, scores: Scores = "raw", modality: str | None = None, deadline: float | None = None) -> Ranking:
        """The k items that are most likely next after a history (oldest first), best first.

        allow, deny: only these items, never these. any_of, all_of, none_of: names of sets: only items of at least one of
        them, of each, of none. quotas: by the name of a set, at most so many items of it. exclude_seen: no items of the
        history, all of which count here. The search itself heeds all rules, so that k items are found whenever k fit.
        scores: those of the model (raw); log p among the items that are searched (renormalized); the probability that the item is the next one
        (calibrated; of fused lists of at most as many items as beams, for a model with a calibration.json, which
        `mql4grec evaluate --calibrate` writes with the same number of beams; it holds without rules, which nothing checks).
        modality: the list of text or image alone, instead of the fused one. deadline: seconds after which the search ends with the best
        items so far, or with none; whether it ran to its end is in candidates().complete. An empty list of any_of is no rule. Unknown items of the history are skipped; only the last ones count (20 by default).
        """
        return self._ranking(self.candidates([history], k, allow=allow, deny=deny, any_of=any_of, all_of=all_of, none_of=none_of, quotas=quotas,
                                             exclude_seen=exclude_seen, scores=scores, modality=modality, deadline=deadline, threads=1))

    def recommend_new(self, history: ArrayLike, new_items: ArrayLike, k: int = 10, *, modality: str | None = None,
                      deadline: float | None = None) -> Ranking:
        """The k of new_items that are most likely next: items that nobody has interacted with, which recommend() ranks
        after those that the model has learnt. Fewer than k if fewer share a first code with the best beams. Takes about
        twice as long as recommend(). candidates(among_new=True) knows all other rules, and whether a deadline ended the search.
        """
        return self._ranking(self.candidates([history], k, allow=new_items, modality=modality, deadline=deadline, threads=1, among_new=True))

    @staticmethod
    def _ranking(found: Candidates) -> Ranking:
        count = int(found.counts[0])
        return Ranking(found.items[0, :count], found.scores[0, :count])

    def candidates(self, histories: Sequence[ArrayLike] | tuple[NDArray[np.int32], NDArray[np.int64]], k: int = 10, *,
                   allow: ArrayLike | None = None, deny: ArrayLike | None = None, any_of: Iterable[str] = (), all_of: Iterable[str] = (),
                   none_of: Iterable[str] = (), quotas: Mapping[str, int] | None = None, exclude_seen: bool = False, scores: Scores = "raw",
                   modality: str | None = None, deadline: float | None = None, codes: bool = False, threads: int = 0, among_new: bool = False) -> Candidates:
        """The answers to several requests, which are searched together on several threads (0: all of the machine).

        histories: a list of histories; or a pair (items, offsets) of arrays, where the history of request r is
        items[offsets[r]:offsets[r + 1]]. codes: also return the codes of the items. among_new:
        search among new items, those of `allow`, as recommend_new() does. The rest as in recommend().
        """
        if isinstance(histories, tuple) and len(histories) == 2 and isinstance(histories[1], np.ndarray):
            items = _items(histories[0], "histories")
            offsets = np.ascontiguousarray(histories[1], np.int64)
        else:
            parts = [_items(history, "history") for history in histories]
            items = np.concatenate(parts) if parts else np.empty(0, np.int32)
            offsets = np.concatenate(([0], np.cumsum([len(part) for part in parts], dtype=np.int64))).astype(np.int64)
        if k < 0 or threads < 0:
            raise InvalidArgument(f"k is {k} and threads is {threads}, expected at least 0")
        options = _core.RequestOptions()
        options.k = k
        options.allow = None if allow is None else _items(allow, "allow")
        options.deny = None if deny is None else _items(deny, "deny")
        options.any_of, options.all_of, options.none_of = _names(any_of, "any_of"), _names(all_of, "all_of"), _names(none_of, "none_of")
        options.quotas = _quotas(quotas)
        options.exclude_seen = exclude_seen
        options.scores = _choice(scores, _SCORES, "scores")
        options.list = 0 if modality is None else _choice(modality, _MODALITIES, "modality")
        options.deadline_ms = _milliseconds(deadline)
        options.threads = threads
        options.codes = codes
        options.among_new = among_new
        best, scores_of_best, of_items, counts, complete, seconds = self._core.recommend(items, offsets, options)
        return Candidates(best, scores_of_best, of_items, counts, complete.astype(np.bool_), seconds)

    def explain(self, history: ArrayLike, items: ArrayLike, *, deadline: float | None = None) -> Explanation:
        """Explains items by leaving out each item of the history in turn, the newest first. Takes about as long as 20
        requests. deadline: seconds after which it ends with the reasons so far.
        """
        return Explanation(*self._core.explain(_items(history, "history"), _items(items, "items"), _milliseconds(deadline)))

    def evaluate(self, *, split: Literal["test", "valid"] = "test", at: Sequence[int] = (1, 5, 10), users: int | None = None, threads: int = 0,
                 progress: Callable[[int, int], object] | None = None) -> Evaluation:
        """Ranks the catalog for the users of the dataset and measures the places of their held-out items.

        split: each user's last item (test) or the one before it (valid). at: the k of HR@k and NDCG@k. users: only the
        first so many, at least 1. progress: called with the users done and all users.
        """
        cutoffs = np.asarray(at)
        if cutoffs.ndim != 1 or (cutoffs.size > 0 and cutoffs.dtype.kind not in "iu"):
            raise InvalidArgument(f"at is {at!r}, expected a list of whole numbers")
        if users is not None and users < 1:
            raise InvalidArgument(f"users is {users}, expected at least 1")
        hit, ndcg, item_hit, item_ndcg, count, seconds = self._core.evaluate(
            np.ascontiguousarray(cutoffs, np.int64), _choice(split, _SPLITS, "split"), users or 0, threads, progress)

        def by_list(hits: NDArray[np.float64], gains: NDArray[np.float64]) -> dict[str, Metrics]:
            names = ["fused", "text", "image", *(f"modality{m}" for m in range(2, len(hits)))]
            return {name: Metrics(dict(zip(at, hits[row].tolist())), dict(zip(at, gains[row].tolist())))
                    for row, name in enumerate(names[:len(hits)]) if not np.isnan(hits[row]).any()}

        return Evaluation(by_list(hit, ndcg), by_list(item_hit, item_ndcg), count, seconds)


class Trainer:
    """Trains a model on a dataset directory, in a directory of its own, which then is a model directory.

    recipe: "fast" (Muon, 20 epochs, batches of 256, rate 2e-3), "small" (for a CPU: a quarter of the widths, no dropout,
    Muon, 30 epochs, batches of 64, rate 4e-3), or "paper" (AdamW, 200 epochs, batches of 1024, rate 5e-4); the other
    options override it. init: a model directory to start from, instead of random parameters. tasks: all,
    next, released, released-next, or a list. patience: epochs without a better validation loss before training stops, 0:
    never. model_width to layers: the shape of a new model. threads: 0: all of the machine.
    """

    def __init__(self, dataset: Path, out: Path, *, recipe: Literal["fast", "small", "paper"] = "fast", init: Path | None = None, tasks: str = "all",
                 optimizer: Literal["adamw", "muon"] | None = None, epochs: int | None = None, batch_size: int | None = None,
                 learning_rate: float | None = None, dropout: float | None = None, patience: int | None = None, seed: int | None = None,
                 model_width: int | None = None, heads: int | None = None, head_width: int | None = None, inner_width: int | None = None,
                 layers: int | None = None, threads: int = 0, precision: Precision = "fp32") -> None:
        options = _core.TrainOptions(_choice(recipe, _RECIPES, "recipe"))
        options.dataset, options.out = path_text(dataset), path_text(out)
        options.init = "" if init is None else path_text(init)
        options.tasks, options.threads, options.precision = tasks, threads, _choice(precision, _PRECISIONS, "precision")
        if optimizer is not None:
            options.muon = _choice(optimizer, {"adamw": 0, "muon": 1}, "optimizer")
        for name, value in (("epochs", epochs), ("batch_size", batch_size), ("learning_rate", learning_rate), ("dropout", dropout),
                            ("patience", patience), ("seed", seed), ("model_width", model_width), ("heads", heads), ("head_width", head_width),
                            ("inner_width", inner_width), ("layers", layers)):
            if value is not None:
                setattr(options, name, value)
        self._options = options

    def fit(self, progress: Callable[[Progress], object] | None = None, *, resume: bool = False, max_seconds: float = math.inf) -> Progress:
        """Trains until the last epoch, until further ones would not help, or for max_seconds.

        progress: called after every update and after every epoch; an exception that it raises, and Ctrl-C, stop the
        training after its state is written. resume: continue the run in the directory, if there is one.
        """
        self._options.resume = int(resume)
        self._options.max_seconds = max_seconds
        return _core.train(self._options, progress)
