"""Dataset directories from what Python programs have: frames of interactions, and features as NumPy arrays."""
from __future__ import annotations

import glob
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._errors import FileError, InvalidArgument
from ._paths import path_text

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
    return _core.quantize(array, levels, codes, seed, threads, None if out is None else path_text(out), list(_INDEX).index(modality))


def _seconds(times: NDArray[Any]) -> list[float]:
    """Times as numbers; dates as seconds since 1970. Raises InvalidArgument for one that is no time, such as NaN and NaT."""
    def seconds(value: Any) -> float:
        if value != value:  # NaN and NaT, of NumPy, pandas and Python
            return math.nan
        if hasattr(value, "timestamp"):  # pandas' and Python's own, with a time zone or without
            return float(value.timestamp())
        return float(value.astype("datetime64[ns]").astype(np.int64)) / 1e9 if isinstance(value, np.datetime64) else float(value)

    converted = [seconds(value) for value in times]
    for place, value in enumerate(converted):
        if not math.isfinite(value):
            raise InvalidArgument(f"interactions: the time in row {place} is {times[place]}, expected a number or a date")
    return converted


def _ids_text(keys: list[Any]) -> str:
    """The content of Name.item2id or Name.user2id."""
    return "".join(f"{str(key).translate({9: 32, 10: 32, 13: 32})}\t{i}\n" for i, key in enumerate(keys))


def _has_numbers(sets: Path) -> bool:
    """Whether a file of sets names an item by its number. Those with raw ids alone stay right when numbers change."""
    return any(isinstance(item, int) for items in json.loads(sets.read_text(encoding="utf8")).values() for item in items)


def _check_item_numbers(path: Path, name: str, item_ids: str, written: set[str]) -> None:
    """Raises FileError when files of the directory that are not written anew would name other items than before."""
    ids = path / f"{name}.item2id"
    if ids.exists() and ids.read_text(encoding="utf8") == item_ids:
        return
    kinds = ("index_*.json", "emb-*.npy", "catalog.packed", "item.json", "sets.json")
    for file in (file for kind in kinds for file in sorted(path.glob(f"{glob.escape(name)}.{kind}"))):
        if file.name.removeprefix(f"{name}.") in written or (file.name == f"{name}.sets.json" and not _has_numbers(file)):
            continue
        raise FileError(f"{file}: is about items by number, and the new {ids.name} numbers items differently; remove it, or write to another directory")


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

    An earlier dataset in the directory is replaced. Raises FileError, and writes nothing, if the directory has files of
    items by other numbers that aren't written anew, such as Name.emb-*.npy or the Name.index_*.json of another modality.
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
    for kind, array in all_codes.items():
        if array.ndim != 2 or len(array) != len(item_keys) or array.dtype.kind not in "iu":
            raise InvalidArgument(f"{kind}: an array of shape {array.shape}, expected one row of whole numbers for each of {len(item_keys)} items")
    for kind, shape in ((kind, np.shape(rows)) for kind, rows in features.items()):
        if len(shape) != 2 or shape[0] != len(item_keys):
            raise InvalidArgument(f"{kind}: an array of shape {shape}, expected one row of features for each of {len(item_keys)} items")
    if titles is not None and len(titles) != len(item_keys):
        raise InvalidArgument(f"{len(titles)} titles for {len(item_keys)} items")
    seconds_of = None if times is None else _seconds(times)

    path = Path(path_text(directory))
    name = path.resolve().name
    item_ids = _ids_text(item_keys)
    written = {f"index_{_INDEX[kind][0]}.json" for kind in (*codes, *features)} | ({"item.json"} if titles is not None else set())
    _check_item_numbers(path, name, item_ids, written)

    for kind, rows in features.items():
        present = int(np.any(np.asarray(rows) != 0, axis=-1).sum())
        all_codes[kind] = quantize(rows, levels=levels, codes=code_count or min(256, 1 << max(present, 1).bit_length() - 1), threads=threads,
                                   out=None if translators is None else Path(translators) / kind, modality=kind)

    order = np.arange(len(user_column)) if times is None else np.argsort(times, kind="stable")
    histories: dict[Any, list[int]] = {}
    for place in order.tolist():
        histories.setdefault(user_column[place], []).append(place)
    user_keys = sorted(histories)

    path.mkdir(parents=True, exist_ok=True)

    def write(ending: str, text: str) -> None:
        part = path / f"{name}.{ending}.part"
        part.write_text(text, encoding="utf8")
        part.replace(path / f"{name}.{ending}")

    def write_json(ending: str, rows: Iterable[tuple[int, Any]]) -> None:
        write(ending, "{" + ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in rows) + "}\n")

    # Files of an earlier dataset are removed: nothing of two datasets is mixed.
    for ending in ("times.json", "item.json", "inter.packed", "catalog.packed", *(f"index_{which}.json" for which, _ in _INDEX.values())):
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
    write("item2id", item_ids)
    write("user2id", _ids_text(user_keys))
    return Dataset(path, item_keys, [key.item() if isinstance(key, np.generic) else key for key in user_keys])
