"""
The lines of a batch file: each is a JSON object with the fields of a request, and further options.

Every error of a line is found here, before anything is sent.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from attrs import asdict, field, frozen

from ..config import structure
from ..errors import ConfigurationError, InvalidRequestError
from ..request import VideoRequest
from ..request_codec import from_data
from .media_file import read_medium


def _not_blank(_: object, attribute: Any, value: str | None) -> None:
    if value is not None and not value.strip():
        raise ConfigurationError(f"{attribute.name} is empty")


@frozen(kw_only=True)
class _Fields:
    """The fields of a line."""

    mode: str | None = None
    prompt: str | None = None
    image: str | None = None
    images: list[str] | None = None
    video: str | None = None
    resolution: str | None = None
    ratio: str | None = None
    duration: int | None = None
    seed: int | None = None
    watermark: bool | None = None
    audio: str | None = None
    version: str | None = None
    model: str | None = None
    extra: Mapping[str, Any] | None = None
    provider: str | None = field(default=None, validator=_not_blank)
    key: str | None = field(default=None, validator=_not_blank)
    output: str | None = field(default=None, validator=_not_blank)


@frozen(kw_only=True)
class Line:
    """One line of a batch file."""

    number: int
    """Its position in the file, counted from 1."""
    request: VideoRequest
    """The request."""
    key: str
    """The line's own key, or one that is the same whenever this line is read from this file."""
    provider: str | None = None
    """The section or adapter of the line."""
    output: str | None = None
    """The output file of the line, relative to the folder for the videos."""


@frozen
class BatchFile:
    """A batch file: its valid lines, and the errors of the others."""

    file: Path
    lines: list[Line] = field(factory=list[Line], init=False)
    errors: dict[int, InvalidRequestError] = field(factory=dict[int, InvalidRequestError], init=False)
    """By the number of the line."""

    @classmethod
    def read(cls, file: Path, *, provider: str | None = None) -> BatchFile:
        """
        Read *file*. Empty lines are skipped.

        :param provider: the default for lines without one; another default makes them other jobs.
        :raises InvalidRequestError: it cannot be read.
        """
        batch = cls(file)
        reader = _Reader(_identity(file), file.parent, provider)
        for number, text in enumerate(_text(file).split("\n"), 1):
            if text.strip():
                try:
                    batch.lines.append(reader.line(number, text))
                except (ConfigurationError, InvalidRequestError) as error:
                    batch.refuse(number, str(error))
        for line, earlier in duplicates_before(batch.lines, lambda line: line.key):
            batch.refuse(line.number, f"key: line {earlier.number} has the same")
        for line in batch.lines:
            if line.output is not None and (problem := _output_problem(line.output)):
                batch.refuse(line.number, f"output: {problem}")
        return batch

    def refuse(self, number: int, reason: str) -> None:
        """Note an error of line *number*."""
        self.errors.setdefault(number, InvalidRequestError(f"{self.file}, line {number}: {reason}"))


def duplicates_before(lines: Iterable[Line], value: Callable[[Line], str | None]) -> Iterator[tuple[Line, Line]]:
    """Yield each line whose *value* repeats an earlier line's, with the earlier line."""
    first: dict[str, Line] = {}
    for line in lines:
        this = value(line)
        if this is not None and first.setdefault(this, line) is not line:
            yield line, first[this]


class _Reader:
    """Reads the lines of one file, and gives lines without a key an identifying one."""

    def __init__(self, file: str, folder: Path, provider: str | None) -> None:
        self._file = file
        self._folder = folder
        self._provider = provider
        self._counts = Counter[str]()

    def line(self, number: int, text: str) -> Line:
        given = structure(_Fields, _object(text))
        options = ("provider", "key", "output")
        data = asdict(
            given, filter=lambda attribute, value: value is not None and attribute.name not in options, recurse=False
        )
        key = given.key or self._key(from_data(data), given.provider or self._provider)
        return Line(
            number=number,
            request=from_data(self._with_paths(data)),
            key=key,
            provider=given.provider,
            output=given.output,
        )

    def _with_paths(self, data: dict[str, Any]) -> dict[str, Any]:
        media: dict[str, Any] = {
            name: read_medium(data[name], self._folder) for name in ("image", "video") if name in data
        }
        if "images" in data:
            media["images"] = [read_medium(image, self._folder) for image in data["images"]]
        return {**data, **media}

    def _key(self, request: VideoRequest, provider: str | None) -> str:
        # The order of the fields and the output do not matter; equal lines are numbered.
        content = json.dumps([self._file, request.to_dict(), provider], sort_keys=True)
        digest = hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()[:32]
        self._counts[digest] += 1
        return f"batch-{digest}-{self._counts[digest]}"


def _identity(file: Path) -> str:
    # A pipe has a new name each time.
    return str(file.resolve()) if file.is_file() else str(file)


def _output_problem(output: str) -> str | None:
    if output.endswith(("/", os.sep)):
        return f"{output} is a folder"
    path = Path(os.path.normpath(output))
    if path.is_absolute() or path.parts[:1] == ("..",):
        return f"{output} is outside the folder for the videos; --output chooses the folder"
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise InvalidRequestError(f"{file}: the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise InvalidRequestError(f"{file}: the file is not text in UTF-8") from None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_not_a_number)
    except RecursionError:
        raise InvalidRequestError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"it is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("it is not a JSON object")
    # A null field is not sent, as everywhere else.
    return {name: item for name, item in cast("dict[str, Any]", value).items() if item is not None}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InvalidRequestError(f"{twice} is given twice")
    return table


def _not_a_number(word: str) -> NoReturn:
    raise InvalidRequestError(f"it is not JSON: {word} is not a number")
