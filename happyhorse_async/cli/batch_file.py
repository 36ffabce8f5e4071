"""
The lines of a batch file: each is a JSON object with the fields of a request, and perhaps where and as what it goes.

Everything that can be wrong with a line is found here, before anything is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

from attrs import field, frozen

from ..errors import InvalidRequestError
from ..request import VideoRequest
from ..request_codec import from_data, to_data

_PLACING = ("provider", "key", "output")
_KINDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys(
        ("mode", "prompt", "image", "video", "resolution", "ratio", "audio", "version", "model", *_PLACING),
        (str, "text"),
    ),
    "images": (list, "a list of text"),
    "duration": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "watermark": (bool, "true or false"),
    "extra": (dict, "an object"),
}


@frozen(kw_only=True)
class Line:
    """One line of a batch file."""

    number: int
    """Its place in the file, counted from 1."""
    request: VideoRequest
    key: str
    """The line's own, or one that is the same whenever this line is read from a file of this name."""
    provider: str | None = None
    output: str | None = None


@frozen
class Batch:
    """A batch file that was read: its good lines, and what is wrong with the others."""

    file: Path
    lines: list[Line] = field(factory=list[Line], init=False)
    errors: dict[int, InvalidRequestError] = field(factory=dict[int, InvalidRequestError], init=False)
    """By the number of the line."""

    @classmethod
    def read(cls, file: Path) -> Batch:
        """
        Read *file*. Empty lines are passed over.

        :raises InvalidRequestError: it cannot be read.
        """
        batch = cls(file)
        counts = Counter[str]()
        for number, text in enumerate(_text(file).split("\n"), 1):
            if text.strip():
                try:
                    batch.lines.append(_line(file, number, text, counts))
                except InvalidRequestError as error:
                    batch.refuse(number, str(error))
        for line, earlier in duplicates_before(batch.lines, lambda line: line.key):
            batch.refuse(line.number, f"key: line {earlier.number} has the same")
        return batch

    def refuse(self, number: int, reason: str) -> None:
        """Note what is wrong with line *number*."""
        self.errors.setdefault(number, InvalidRequestError(f"{self.file}, line {number}: {reason}"))


def duplicates_before(lines: Iterable[Line], value: Callable[[Line], str | None]) -> Iterator[tuple[Line, Line]]:
    """Yield each line whose *value* an earlier one has too, with that one."""
    first: dict[str, Line] = {}
    for line in lines:
        this = value(line)
        if this is not None and first.setdefault(this, line) is not line:
            yield line, first[this]


def _line(file: Path, number: int, text: str, counts: Counter[str]) -> Line:
    data = _object(text)
    request = from_data({name: value for name, value in data.items() if name not in _PLACING})
    provider = data.get("provider")
    digest = _digest(file.name, request, provider)
    counts[digest] += 1
    return Line(
        number=number,
        request=request,
        key=data.get("key") or f"batch-{digest}-{counts[digest]}",
        provider=provider,
        output=data.get("output"),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise InvalidRequestError(f"{file}: the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise InvalidRequestError(f"{file}: the file is not text in UTF-8") from None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_fields, parse_constant=_no_number)
    except RecursionError:
        raise InvalidRequestError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"it is no JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("it is no JSON object")
    # What is null is not sent, as everywhere else.
    given = {name: item for name, item in cast("dict[str, Any]", value).items() if item is not None}
    for name, item in given.items():
        _check_kind(name, item)
    return given


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InvalidRequestError(f"{twice} is given twice")
    return table


def _no_number(word: str) -> NoReturn:
    raise InvalidRequestError(f"it is no JSON: {word} is no number")


def _check_kind(name: str, value: Any) -> None:
    kind, words = _KINDS.get(name, (object, ""))
    good = isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
    if name == "images" and good:
        good = all(isinstance(item, str) for item in cast("list[object]", value))
    if not good:
        raise InvalidRequestError(f"{name} must be {words}")
    if name in _PLACING and not str(value).strip():
        raise InvalidRequestError(f"{name} is empty")


def _digest(file: str, request: VideoRequest, provider: str | None) -> str:
    # Neither the order of the fields nor where the video goes makes it another video.
    content = json.dumps([file, to_data(request), provider], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
