"""The classes that a user wants, by their labels."""

import re
from collections.abc import Sequence

from ..base import DetectorError
from .understanding import UnderstoodModel


def class_numbers(model: UnderstoodModel, labels: Sequence[str]) -> list[int]:
    """Return the numbers of the classes with these labels.

    Raises:
        DetectorError: there are no labels, or the model does not have one of them
    """
    if not labels:
        raise DetectorError("The list of labels is empty, so nothing would be found. Leave it out for all.")
    classes = model.layout.classes
    known = set(model.labels.values())
    numbers = [number for number, label in model.labels.items() if label in labels]
    for label in labels:
        number = re.fullmatch(r"class:(\d{1,9})", label)
        if number and (not classes or int(number[1]) < classes):
            numbers.append(int(number[1]))
        elif label not in known:
            raise DetectorError(f"It has no label {label!r}. It has {_describe_labels(model)}.")
    return numbers


def _describe_labels(model: UnderstoodModel) -> str:
    classes = model.layout.classes
    if model.labels:
        return ", ".join(sorted(set(model.labels.values()))[:100])
    last = f" to class:{classes - 1}" if classes > 1 else ""
    return f"no names, so its labels are class:0{last}" + ("" if classes else ", class:1, …")
