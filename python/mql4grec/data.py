"""Dataset directories from what Python programs have: frames of interactions, and features as NumPy arrays."""
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._errors import InvalidArgument

_INDEX = {"text": ("lemb", "a"), "image": ("vitemb", "A")}


@dataclass(frozen=True)
class Dataset:
    """A dataset directory, and the keys of its items and users by number."""

    directory: Path
    items: list[Any]
    users: list[Any]

    def numbers(self, items: Iterable[Any]) -> NDArray[np.int32]:
        """The numbers of items. Raises KeyError for an unknown one."""
        number = {key: i for i, key in enumerate(self.items)}
        return np.fromiter((number[item] for item in items), np.int32)


def quantize(features: ArrayLike, *, levels: int = 4, codes: int = 256, seed: int = 42, threads: int = 0,
             out: Union[str, "os.PathLike[str]"] | None = None, modality: str = "text") -> NDArray[np.int32]:
    """The codes of items, (items, levels), from their features (items, width), by residual k-means; items with equal codes
    get different ones. −1 for an item whose features are all 0.

    out: a directory that receives the translator of these features, which are text or image, for Translator.load().
    """
    if modality not in _INDEX:
        raise InvalidArgument(f"modality is {modality!r}, expected {', '.join(_INDEX)}")
    array = np.ascontiguousarray(features, np.float32)
    if array.ndim != 2:
        raise InvalidArgument(f"features: an array with {array.ndim} dimensions, expected (items, width)")
    return _core.quantize(array, levels, codes, seed, threads, None if out is None else os.fspath(out), list(_INDEX).index(modality))


def write_dataset(directory: Union[str, "os.PathLike[str]"], interactions: Any, *, features: Mapping[str, ArrayLike] | None = None,
                  codes: Mapping[str, ArrayLike] | None = None, items: Sequence[Any] | None = None, titles: Sequence[str] | None = None,
                  user: str = "user", item: str = "item", time: str | None = "time", levels: int = 4, code_count: int | None = None,
                  threads: int = 0, translators: Union[str, "os.PathLike[str]"] | None = None) -> Dataset:
    """Writes a dataset directory for Trainer and Recommender, which the program mql4grec reads as well.

    interactions: a pandas frame, or any mapping of column names to columns: `user`, `item`, `time`. Those of a user are
    ordered by time; without times (None), or where they are equal, as in the frame.
    features: by modality, "text" and "image": an array (items, width), whose codes are computed by quantize() with
    `levels` levels of `code_count` codes (default: 256, or the largest power of 2 that the number of items allows).
    codes: by modality, instead of features: an array (items, levels); −1 for an item without the modality.
    items: the keys of the items, in the order of the rows of features; default: the sorted keys of the frame.
    titles: in the same order.
    translators: a directory that receives the translator of each modality's features, in text and image, for items that
    are inserted later; see Translator.
    """
    features, codes = features or {}, codes or {}
    if not features and not codes or set(features) & set(codes) or (set(features) | set(codes)) - set(_INDEX):
        raise InvalidArgument(f"expected features or codes of text, image or both, found features of {list(features)} and codes of {list(codes)}")
    user_column, item_column = np.asarray(interactions[user]), np.asarray(interactions[item])
    times = None if time is None else np.asarray(interactions[time])
    if len(user_column) == 0:
        raise InvalidArgument("no interactions")
    item_keys = np.unique(item_column).tolist() if items is None else list(np.asarray(items).tolist())
    number = {key: i for i, key in enumerate(item_keys)}
    if len(number) != len(item_keys):
        raise InvalidArgument("items: a key occurs twice")
    try:
        numbers = np.fromiter((number[key] for key in item_column.tolist()), np.int64, len(item_column))
    except KeyError as error:
        raise InvalidArgument(f"interactions: item {error.args[0]!r} is none of `items`") from None
    all_codes = {kind: np.asarray(array) for kind, array in codes.items()}
    for kind, array in features.items():
        present = int(np.any(np.asarray(array) != 0, axis=-1).sum())
        all_codes[kind] = quantize(array, levels=levels, codes=code_count or min(256, 1 << max(present, 1).bit_length() - 1), threads=threads,
                                   out=None if translators is None else Path(translators) / kind, modality=kind)
    for kind, array in all_codes.items():
        if array.ndim != 2 or len(array) != len(item_keys) or array.dtype.kind not in "iu":
            raise InvalidArgument(f"{kind}: an array of shape {array.shape}, expected one row of whole numbers for each of {len(item_keys)} items")
    if titles is not None and len(titles) != len(item_keys):
        raise InvalidArgument(f"{len(titles)} titles for {len(item_keys)} items")

    order = np.arange(len(user_column)) if times is None else np.argsort(times, kind="stable")
    histories: dict[Any, list[int]] = {}
    for place in order.tolist():
        histories.setdefault(user_column[place], []).append(place)
    user_keys = sorted(histories)

    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    name = path.resolve().name

    def write(ending: str, text: str) -> None:
        part = path / f"{name}.{ending}.part"
        part.write_text(text, encoding="utf8")
        part.replace(path / f"{name}.{ending}")

    def write_json(ending: str, rows: Iterable[tuple[int, Any]]) -> None:
        write(ending, "{" + ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in rows) + "}\n")

    def seconds(value: Any) -> float:
        if hasattr(value, "timestamp"):  # pandas' and Python's own, with a time zone or without
            return float(value.timestamp())
        return float(value.astype("datetime64[ns]").astype(np.int64)) / 1e9 if isinstance(value, np.datetime64) else float(value)

    # Converted before the first write, and files of an earlier dataset removed: nothing of two datasets is mixed.
    seconds_of = None if times is None else [seconds(value) for value in times]
    for ending in ("times.json", "item.json", *(f"index_{which}.json" for which, _ in _INDEX.values())):
        (path / f"{name}.{ending}").unlink(missing_ok=True)
    write_json("inter.json", ((u, numbers[histories[key]].tolist()) for u, key in enumerate(user_keys)))
    if seconds_of is not None:
        write_json("times.json", ((u, [seconds_of[place] for place in histories[key]]) for u, key in enumerate(user_keys)))
    for kind, array in all_codes.items():
        which, prefix = _INDEX[kind]
        write_json(f"index_{which}.json", ((i, [f"<{chr(ord(prefix) + level)}_{code}>" for level, code in enumerate(row)])
                                           for i, row in enumerate(array.tolist()) if min(row) >= 0))
    if titles is not None:
        write_json("item.json", ((i, {"title": str(title)}) for i, title in enumerate(titles)))
    for ending, keys in (("item2id", item_keys), ("user2id", user_keys)):
        write(ending, "".join(f"{str(key).translate({9: 32, 10: 32, 13: 32})}\t{i}\n" for i, key in enumerate(keys)))
    return Dataset(path, item_keys, [key.item() if isinstance(key, np.generic) else key for key in user_keys])
