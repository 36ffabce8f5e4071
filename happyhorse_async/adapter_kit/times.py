"""Timestamps of providers, and the expiry of the URLs they sign."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_EXPIRES = re.compile(r"[?&]Expires=([0-9]{1,12})(?=[&#]|\Z)")
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def parse_datetime(text: str | None, *, default_zone: timezone = UTC) -> datetime | None:
    """
    Read an ISO 8601 or `YYYY-MM-DD HH:mm:ss.SSS` timestamp; `None` if it is missing or cannot be read.

    :param default_zone: the zone of a timestamp that names none.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return _on_the_calendar(moment if moment.tzinfo else moment.replace(tzinfo=default_zone))


def from_epoch(seconds: float | None) -> datetime | None:
    """Read Unix seconds; `None` if they are missing, zero (which some providers send for "not yet") or out of range."""
    if not seconds or seconds < 0:
        return None
    try:
        return _on_the_calendar(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _on_the_calendar(moment: datetime) -> datetime | None:
    # Converting a time of the first or the last year to another zone would overflow.
    return moment if 1 < moment.year < 9999 else None


def url_expiry(
    url: str, *, created_at: datetime | None = None, finished_at: datetime | None = None, lifetime: timedelta
) -> datetime | None:
    """
    Return when *url* expires: the `Expires` of its signature, else *finished_at* plus *lifetime*, else `None`.

    An `Expires` before the task existed is a placeholder and is ignored. Object stores sign URLs in this form:
    https://help.aliyun.com/zh/oss/developer-reference/add-signatures-to-urls

    :param lifetime: how long the provider documents that a result URL is valid.
    """
    signed = _EXPIRES.search(url)
    expiry = from_epoch(float(signed[1])) if signed else None
    if expiry is not None and (finished_at or created_at or _EARLIEST) < expiry < _LATEST:
        return expiry
    return finished_at + lifetime if finished_at else None
