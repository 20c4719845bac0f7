"""The JSONPath that batch transform's filters have, over a row of CSV: SageMaker takes a row as an array.

Developer guide, "Associate Prediction Results with Input Records": $, indexes ($[0,-1]), slices ($[1:], $[:-1]), and both
mixed ($[0,5:]). Its operators for names are for JSON, which the local SageMaker does not read.
"""

import csv
import io
import re

_ARRAY = re.compile(r"\$\[(?P<items>[^\[\]]+)\]")
_ITEM = re.compile(r"(?P<index>-?\d+)|(?P<start>-?\d+)?:(?P<end>-?\d+)?")


class BadPath(ValueError):
    """The expression isn't one that a filter of CSV can have."""


class OutOfRange(ValueError):
    """The row has no such column."""


class Filter:
    """Selects columns of a row. The whole row is passed on as it is, quotes and all."""

    def __init__(self, path):
        self._path = path
        self._items = [] if path == "$" else _parse(path)

    def apply(self, row):
        if not self._items:
            return row
        columns, selected = split(row), []
        for item in self._items:
            if isinstance(item, slice):
                selected += columns[item]
            elif -len(columns) <= item < len(columns):
                selected.append(columns[item])
            else:
                raise OutOfRange(f"the row has {len(columns)} columns, {self._path} asks for [{item}]")
        return join(selected)


def split(row):
    return next(csv.reader([row]), [])


def join(columns):
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(columns)
    return out.getvalue()


def _parse(path):
    match = _ARRAY.fullmatch(path)
    if match is None:
        raise BadPath(f"{path!r} selects no columns of CSV: $, $[0,-1], $[1:] and $[0,5:] do")
    return [_item(item.strip(), path) for item in match["items"].split(",")]


def _item(text, path):
    match = _ITEM.fullmatch(text)
    if match is None:
        raise BadPath(f"{text!r} in {path!r} is neither an index (0, -1) nor a slice (1:, :-1, 0:3)")
    if match["index"] is not None:
        return int(match["index"])
    start, end = ((int(match[name]) if match[name] else None) for name in ("start", "end"))
    return slice(start, end)
