"""What an exporter wrote beside a network: its task, class names, input size and stride."""

import ast
import re
from collections.abc import Mapping
from math import prod

import msgspec
from msgspec import Struct

from ..base import DetectorError, clean_label

LARGEST_SIDE = 4096  # pixels
LARGEST_METADATA = 1_000_000  # characters of one entry

_TASKS = ("detect", "segment", "pose", "obb", "classify")


class Metadata(Struct, frozen=True):
    """An entry that is missing or cannot be read has its default: models come from anywhere."""

    task: str | None
    names: dict[int, str]  # by class number
    size: tuple[int, int] | None  # height, width
    stride: int  # 0 if not known
    key_point_values: int  # of each box: the number of key points times 2 or 3; 0 if not known
    is_rtdetr: bool = False  # of Ultralytics

    @property
    def named_classes(self) -> int:
        """The number of classes according to `names`; 0 if there are none."""
        return max(self.names, default=-1) + 1


def read_metadata(entries: Mapping[str, str]) -> Metadata:
    """Return the metadata in these entries.

    Raises:
        DetectorError: they say that it is a network of another kind
    """
    task = entries.get("task")
    if task is not None and "detect" in task.lower():  # others write object-detection
        task = "detect"
    if task is not None and task not in _TASKS:
        raise DetectorError(
            f"Its task is {clean_label(task)!r}. Export a detection model instead (task detect)."
        )
    description = entries.get("description", "").lower().replace("-", "")
    is_rtdetr = entries.get("head") == "RTDETRDecoder" or "rtdetr" in description
    return Metadata(
        task, _names(entries), _size(entries), _stride(entries), _key_point_values(entries), is_rtdetr
    )


def _names(entries: Mapping[str, str]) -> dict[int, str]:
    """Return class names from the entry `names`, a mapping or a list as Python or JSON writes it.

    One that is blank, or null in JSON, is `class:<n>`.
    """
    names = _json(entries, "names") or _literal(entries, "names")
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return {}
    return {
        int(number): _name(int(number), name)
        for number, name in names.items()
        if re.fullmatch(r"[0-9]{1,6}", str(number))
    }


def _name(number: int, name: object) -> str:
    text = "" if name is None else str(name)
    return clean_label(text) if text.strip() else f"class:{number}"


def _size(entries: Mapping[str, str]) -> tuple[int, int] | None:
    """Return height and width from the entry `imgsz`, a number or a pair; None if there is none."""
    size = _literal(entries, "imgsz")
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(pair) == 2 and all(isinstance(side, int) and side > 0 for side in pair):
        return pair
    return None


def _stride(entries: Mapping[str, str]) -> int:
    """Return the number that divides each side, from the entry `stride`; 0 if there is none."""
    stride = _literal(entries, "stride")
    return stride if isinstance(stride, int) and stride <= LARGEST_SIDE else 0


def _key_point_values(entries: Mapping[str, str]) -> int:
    """Return the product of the entry `kpt_shape`, such as [17, 3]; 0 if there is none."""
    shape = _literal(entries, "kpt_shape")
    if isinstance(shape, list | tuple) and all(isinstance(side, int) and 0 < side < 1000 for side in shape):
        return prod(shape)
    return 0


def _json(entries: Mapping[str, str], key: str) -> object:
    """Return the entry's value as JSON, whose escapes differ from Python's; None if it is none."""
    text = entries.get(key, "")
    try:
        return msgspec.json.decode(text.lstrip("\ufeff").encode()) if len(text) <= LARGEST_METADATA else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _literal(entries: Mapping[str, str], key: str) -> object:
    """Return the entry's value, None if it cannot be read."""
    text = entries.get(key, "").lstrip("\ufeff")
    if len(text) > LARGEST_METADATA:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
