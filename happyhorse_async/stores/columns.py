"""
The columns of the table of jobs, from which every database's schema, statements and codecs are derived.

The table can be read by people. The task, the request and the error are JSON. Videos have a column of their own,
because they expire sooner than the rest.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeAlias

from attrs import evolve, field, frozen
from cattrs import BaseValidationError, Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from ..budget import Charge
from ..errors import StoreError
from ..job import AccountAttempt, Endpoint, Job, JobError, JobState
from ..local_media import LocalMedium
from ..price import PriceEstimate
from ..task import Task, TaskRef, Video
from .retention import Dates

PAGE_SIZE = 4096
"""
The size of a page of the file, and of the padding before the columns that are erased.

SQLite overwrites what is deleted, except for copies that it leaves behind when it moves short rows from one page of a
table to another. A row longer than a page is cut: its beginning lies in the table, the rest on pages of its own, which
are never moved and are wholly overwritten. A page of padding makes sure that the secrets are in the rest.
See https://www.sqlite.org/fileformat2.html#b_tree_pages
"""

Kind: TypeAlias = Literal["TEXT", "FLAG", "TIMESTAMP", "JSON", "BYTES"]
"""The kind of a column. As values: `str`, `bool`, an aware `datetime`, JSON as `str`, `bytes`."""

# The errors of reading text that this program did not write.
_UNREADABLE = (BaseValidationError, LookupError, TypeError, ValueError)


class Row(Protocol):
    """A row as a database returns it."""

    def __getitem__(self, name: str, /) -> Any:
        """Return a column by its name."""
        ...


@frozen(kw_only=True)
class Entry:
    """A job with the store's own data about it."""

    job: Job
    dates: Dates
    holds_key: bool = True
    """Whether the job holds its key."""
    charge: Charge | None = None
    """What the job counts for in the ledger."""

    @property
    def key(self) -> str | None:
        """The key, if the job holds it."""
        return self.job.key if self.holds_key else None

    @property
    def released_key(self) -> str | None:
        """The key, if the job has released it."""
        return None if self.holds_key else self.job.key

    @property
    def videos(self) -> tuple[Video, ...] | None:
        """The videos of the task."""
        return self.job.task.videos or None if self.job.task is not None else None

    @property
    def media(self) -> tuple[LocalMedium, ...] | None:
        """The local media of the request."""
        return self.job.media or None

    @property
    def attempts(self) -> tuple[AccountAttempt, ...] | None:
        """Earlier attempts at other accounts."""
        return self.job.attempts or None

    @property
    def failure(self) -> None:
        """Empty since version 4, which has the error as data."""

    @property
    def padding(self) -> bytes | None:
        """A page of zeros, if erasable columns follow."""
        secrets = (self.videos, self.job.callback_url, self.job.request, self.job.body, self.media, self.attempts)
        return None if secrets == (None,) * 6 else bytes(PAGE_SIZE)


@frozen
class Codec:
    """Converts an attribute to a value of a kind, and back. `None` is always NULL."""

    kind: Kind
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def _unchanged(value: Any) -> Any:
    return value


@frozen
class Form:
    """How a database stores the values of a kind."""

    sql_type: str
    write: Callable[[Any], Any] = _unchanged
    read: Callable[[Any], Any] = _unchanged


@frozen
class Column:
    """A column, and the attribute that is stored in it."""

    name: str
    codec: Codec
    of: Literal["job", "endpoint", "dates", "entry"] = "job"
    """The object whose attribute it is."""
    renames: str = field(default="", kw_only=True)
    """The name of the attribute, if it differs from that of the column."""
    constraint: str = field(default="", kw_only=True)
    since: int = field(default=1, kw_only=True)
    """The version of the schema that added it."""
    erasable: bool = field(default=False, kw_only=True)
    """Whether it holds secrets that are erased before the job is deleted. It stands behind the padding."""
    only_sqlite: bool = field(default=False, kw_only=True)
    """Whether only SQLite needs it."""

    @property
    def attribute(self) -> str:
        """The name of the attribute."""
        return self.renames or self.name

    @property
    def is_required(self) -> bool:
        """Whether it is never NULL."""
        return "NOT NULL" in self.constraint


def to_text(value: str) -> str:
    """Return *value* with what UTF-8 cannot encode, such as half of a surrogate pair, as escapes."""
    return value.encode(errors="backslashreplace").decode()


def _to_json(value: object) -> str:
    # The escape of half of a surrogate pair is the one that JSON itself has for it.
    return to_text(json.dumps(value, ensure_ascii=False))


def _request_to_json(request: object) -> str:
    try:
        return _to_json(request)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"the request cannot be written as JSON: {error}") from None


def _converter() -> Converter:
    converter = Converter(omit_if_default=True)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, lambda text, _: Decimal(text))
    converter.register_unstructure_hook(TaskRef, str)
    converter.register_structure_hook(TaskRef, lambda text, _: TaskRef.parse(text))
    converter.register_unstructure_hook(bytes, lambda data: b64encode(data).decode())
    converter.register_structure_hook(bytes, lambda text, _: b64decode(text))
    apart = override(omit=True)
    converter.register_unstructure_hook(
        Task, make_dict_unstructure_fn(Task, converter, _cattrs_omit_if_default=True, raw=apart, videos=apart)
    )
    converter.register_structure_hook(Task, make_dict_structure_fn(Task, converter, raw=apart, videos=apart))
    return converter


_CONVERTER = _converter()


def _structured(kind: Any) -> Codec:
    return Codec(
        "JSON",
        lambda value: _to_json(_CONVERTER.unstructure(value)),
        lambda text: _CONVERTER.structure(json.loads(text), kind),
    )


def _media_to_bytes(media: tuple[LocalMedium, ...]) -> bytes:
    # One line of JSON, and the contents one after the other: base64 in JSON would take a third more.
    facts = [
        {"digest": one.digest, "mime": one.mime, "size": one.size, "is_uploaded": one.is_uploaded, "path": one.path}
        | {"is_kept": one.content is not None}
        for one in media
    ]
    return b"\n".join((_to_json(facts).encode(), b"".join(one.content or b"" for one in media)))


def _media_from_bytes(data: bytes) -> tuple[LocalMedium, ...]:
    head, _, contents = data.partition(b"\n")
    found, start = list[LocalMedium](), 0
    for facts in json.loads(head):
        size = facts["size"] if facts.pop("is_kept") else 0
        content = contents[start : start + size] if size else None
        found.append(LocalMedium(**facts, content=content))
        start += size
    return tuple(found)


_TEXT = Codec("TEXT", to_text, _unchanged)
_STATE = Codec("TEXT", lambda state: state.value, JobState)
_FLAG = Codec("FLAG", _unchanged, _unchanged)
_TIMESTAMP = Codec("TIMESTAMP", _unchanged, _unchanged)
_REQUEST = Codec("JSON", _request_to_json, json.loads)
_BYTES = Codec("BYTES", _unchanged, _unchanged)
_MEDIA = Codec("BYTES", _media_to_bytes, _media_from_bytes)

COLUMNS = (
    Column("job_id", _TEXT, constraint="NOT NULL UNIQUE"),
    Column("key", _TEXT, "entry", constraint="UNIQUE"),
    Column("state", _STATE, constraint="NOT NULL"),
    Column("provider", _TEXT, "endpoint", constraint="NOT NULL"),
    Column("adapter", _TEXT, "endpoint", constraint="NOT NULL"),
    Column("base_url", _TEXT, "endpoint", constraint="NOT NULL"),
    Column("model", _TEXT, constraint="NOT NULL"),
    Column("task_id", _TEXT),
    Column("owner", _TEXT),
    Column("durable", _FLAG, constraint="NOT NULL"),
    Column("created_at", _TIMESTAMP, constraint="NOT NULL"),
    Column("submitted_at", _TIMESTAMP),
    Column("settled_at", _TIMESTAMP, "dates"),
    Column("closed_at", _TIMESTAMP, "dates"),
    Column("saved_to", _TEXT),
    Column("failure", _TEXT, "entry", only_sqlite=True),
    Column("fingerprint", _TEXT, constraint="NOT NULL"),
    Column("task", _structured(Task)),
    Column("videos_until", _TIMESTAMP, "dates", renames="urls_until"),
    Column("padding", _BYTES, "entry", only_sqlite=True),
    Column("videos", _structured(tuple[Video, ...]), "entry", erasable=True),
    Column("callback_url", _TEXT, erasable=True),
    Column("request", _REQUEST, erasable=True),
    Column("body", _BYTES, erasable=True),
    Column("save_to", _TEXT, since=3),
    Column("released_key", _TEXT, "entry", since=4),
    Column("error", _structured(JobError), since=4),
    Column("media", _MEDIA, "entry", since=5, erasable=True),
    Column("may_move", _FLAG, since=6),
    Column("attempts", _structured(tuple[AccountAttempt, ...]), "entry", since=6, erasable=True),
    Column("price", _structured(PriceEstimate), since=7),
    Column("charge", _structured(Charge), "entry", since=7),
    Column("trace_parent", _TEXT, since=8),
)
"""
All columns, in the order in which they stand in the table.

Released columns are never edited. A new column is added at the end, with the version of the schema that adds it.
"""
_CHARGE = next(column for column in COLUMNS if column.name == "charge")


@frozen
class Table:
    """The table of jobs in one kind of database."""

    forms: Mapping[Kind, Form]
    """How the database stores each kind of value."""
    columns: tuple[Column, ...] = COLUMNS

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    def sql_type(self, column: Column) -> str:
        """Return the type of a column in the database."""
        return self.forms[column.codec.kind].sql_type

    def definition(self, column: Column) -> str:
        """Return a column as CREATE TABLE wants it."""
        return f"{column.name} {self.sql_type(column)} {column.constraint}".rstrip()

    def to_row(self, entry: Entry) -> dict[str, Any]:
        """
        Return the row of *entry*, by the names of the columns.

        :raises StoreError: its request is not plain data.
        """
        objects = {"entry": entry, "job": entry.job, "endpoint": entry.job.endpoint, "dates": entry.dates}
        return {
            column.name: self._encoded(column, getattr(objects[column.of], column.attribute)) for column in self.columns
        }

    def from_row(self, row: Row) -> Entry:
        """
        Return the entry of a row.

        :raises StoreError: the row was changed from outside, and cannot be read.
        """
        found: dict[str, dict[str, Any]] = {"entry": {}, "job": {}, "endpoint": {}, "dates": {}}
        try:
            for column in self.columns:
                found[column.of][column.attribute] = self._decoded(column, row)
            own, task = found["entry"], found["job"]["task"]
            if task is not None and own["videos"]:
                found["job"]["task"] = evolve(task, videos=own["videos"])
            holds_key = own["released_key"] is None
            job = Job(
                **found["job"],
                endpoint=Endpoint(**found["endpoint"]),
                key=own["key"] if holds_key else own["released_key"],
                media=own["media"] or (),
                attempts=own["attempts"] or (),
            )
            return Entry(job=job, dates=Dates(**found["dates"]), holds_key=holds_key, charge=own["charge"])
        except _UNREADABLE as error:
            raise _unreadable(row, error) from None

    def to_dates(self, row: Row) -> Dates:
        """
        Return the dates of a row, which need not have more columns than those and `job_id`.

        :raises StoreError: the row was changed from outside, and cannot be read.
        """
        try:
            dates = [column for column in self.columns if column.of == "dates"]
            return Dates(**{column.attribute: self._decoded(column, row) for column in dates})
        except _UNREADABLE as error:
            raise _unreadable(row, error) from None

    def to_charge(self, row: Row) -> Charge | None:
        """
        Return what the job of a row counts for; the row need not have more columns than that and `job_id`.

        :raises StoreError: the row was changed from outside, and cannot be read.
        """
        try:
            found: Charge | None = self._decoded(_CHARGE, row)
        except _UNREADABLE as error:
            raise _unreadable(row, error) from None
        return found

    def _encoded(self, column: Column, value: Any) -> Any:
        return None if value is None else self.forms[column.codec.kind].write(column.codec.encode(value))

    def _decoded(self, column: Column, row: Row) -> Any:
        value = row[column.name]
        if value is not None:
            return column.codec.decode(self.forms[column.codec.kind].read(value))
        if column.is_required:
            raise ValueError(column.name)
        return None


def _unreadable(row: Row, error: Exception) -> StoreError:
    job_id = str(row["job_id"])
    return StoreError(
        f"the entry of job {job_id} in the job store cannot be read ({type(error).__name__}): it was changed by "
        "another program",
        job_id=job_id,
    )
