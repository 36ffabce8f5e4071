"""
How SQLite stores the columns of the table of jobs.

The file can be read by people. Timestamps are ISO 8601 in UTC with microseconds, so that they sort as text.
"""

from __future__ import annotations

from datetime import UTC, datetime

from ..columns import Form, Table


def to_timestamp(moment: datetime) -> str:
    """Return *moment* as a text, such that timestamps compare as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


TABLE = Table(
    {
        "TEXT": Form("TEXT"),
        "FLAG": Form("INTEGER", int, bool),
        "TIMESTAMP": Form("TEXT", to_timestamp, datetime.fromisoformat),
        "JSON": Form("TEXT"),
        "BYTES": Form("BLOB"),
    }
)
"""The table of jobs in a file of SQLite."""
