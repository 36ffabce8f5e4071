"""
How PostgreSQL stores the columns of the table of jobs.

The table is typed, so that it can be read and queried with psql: `timestamptz`, `boolean`, `jsonb`.
"""

from __future__ import annotations

import re
from typing import Any

from ..columns import COLUMNS, Form, Table

# PostgreSQL has neither NUL nor halves of surrogate pairs, in text or in jsonb. They are written as this character,
# which Unicode reserves for the use inside of programs, and the four digits of their number. So is the character.
_ESCAPE = "\ufdd0"
_IN_TEXT = re.compile(f"[\x00{_ESCAPE}]")
# The first alternative reads over escaped backslashes, so that what follows one is not taken for an escape.
_IN_JSON = re.compile(rf"\\\\|\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{{2}})|{_ESCAPE}")
_WRITTEN = re.compile(f"{_ESCAPE}([0-9a-fA-F]{{4}})")


def to_postgres_text(text: str) -> str:
    """Return *text* as PostgreSQL can keep it."""
    return _IN_TEXT.sub(lambda found: f"{_ESCAPE}{ord(found[0]):04x}", text)


def from_postgres_text(text: str) -> str:
    """Return the text that `to_postgres_text` was given."""
    return _WRITTEN.sub(lambda found: chr(int(found[1], 16)), text) if _ESCAPE in text else text


def _to_jsonb(text: str) -> str:
    return _IN_JSON.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    if found[0] == _ESCAPE:
        return f"{_ESCAPE}{ord(_ESCAPE):04x}"
    return f"{_ESCAPE}{found[1]}" if found[1] else found[0]


def _from_jsonb(text: str) -> str:
    return _WRITTEN.sub(r"\\u\1", text) if _ESCAPE in text else text


TABLE = Table(
    {
        "TEXT": Form("text", to_postgres_text, from_postgres_text),
        "FLAG": Form("boolean"),
        "TIMESTAMP": Form("timestamptz"),
        "JSON": Form("jsonb", _to_jsonb, _from_jsonb),
        "BYTES": Form("bytea"),
    },
    tuple(column for column in COLUMNS if not column.only_sqlite),
)
"""The table of jobs in PostgreSQL."""


def name_text(name: str) -> str:
    """Return a name that is searched for, as it is written in its column."""
    return to_postgres_text(name.encode(errors="backslashreplace").decode())


def by_column(rows: list[dict[str, Any]], names: list[str]) -> list[list[Any]]:
    """Return *rows* as one list for each column, as `unnest` takes them."""
    return [[row[name] for row in rows] for name in names]
