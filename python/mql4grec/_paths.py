"""Paths as the library reads them."""
from __future__ import annotations

import os
from typing import Union

from ._errors import InvalidArgument


def path_text(path: Union[str, "os.PathLike[str]"]) -> str:
    """The path as a text. Raises InvalidArgument for one with a zero byte, where the library would end it."""
    text = os.fspath(path)
    if "\0" in text:
        raise InvalidArgument(f"the path {text!r} contains a zero byte")
    return text
