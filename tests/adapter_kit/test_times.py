"""Timestamps of providers, and the expiry of the URLs they sign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.adapter_kit import from_epoch, parse_datetime, url_expiry

BEIJING = timezone(timedelta(hours=8))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T07:00:00Z", datetime(2026, 11, 21, 7, tzinfo=UTC)),
        ("2026-11-21T07:00:00+08:00", datetime(2026, 11, 21, 7, tzinfo=BEIJING)),
        ("2026-11-21T07:00:00", datetime(2026, 11, 21, 7, tzinfo=UTC)),
        ("2026-11-21 07:00:00.123", datetime(2026, 11, 21, 7, 0, 0, 123_000, tzinfo=UTC)),
        (" 2026-11-21 07:00:00 ", datetime(2026, 11, 21, 7, tzinfo=UTC)),
        (None, None),
        ("", None),
        ("  ", None),
        ("yesterday", None),
        ("2026-02-31 00:00:00", None),
        ("0001-01-01T00:00:00", None),
        ("9999-12-31T23:59:59", None),
    ],
)
def test_timestamps(text: str | None, moment: datetime | None) -> None:
    """A timestamp of either form is read; what is none, or lies at the ends of the calendar, is None."""

    assert moment == parse_datetime(text)


def test_a_timestamp_without_a_zone() -> None:
    """A provider's habitual zone holds where the text names none, and only there."""

    assert "2026-11-21T07:00:00+08:00" == parse_datetime("2026-11-21 07:00:00", default_zone=BEIJING).isoformat()  # type: ignore[union-attr]
    assert "2026-11-21T07:00:00+00:00" == parse_datetime("2026-11-21T07:00:00Z", default_zone=BEIJING).isoformat()  # type: ignore[union-attr]


@given(st.text() | st.datetimes().map(str) | st.datetimes(timezones=st.just(BEIJING)).map(datetime.isoformat))
def test_any_text_is_a_safe_moment_or_none(text: str) -> None:
    """Whatever was read has a zone, and a day can be added to it or taken from it in any zone."""
    moment = parse_datetime(text)

    assert moment is None or None is not moment.tzinfo
    assert moment is None or (moment - timedelta(days=1)).astimezone(UTC) < moment + timedelta(days=1)


@pytest.mark.parametrize(
    ("seconds", "moment"),
    [
        (1_795_244_400, datetime(2026, 11, 21, 7, tzinfo=UTC)),
        (1_795_244_400.5, datetime(2026, 11, 21, 7, 0, 0, 500_000, tzinfo=UTC)),
        (None, None),
        (0, None),
        (0.0, None),
        (-1, None),
        (1_795_244_400_000, None),
        (10**400, None),
        (float("nan"), None),
        (float("inf"), None),
        (253_402_300_799, None),
    ],
)
def test_unix_seconds(seconds: float | None, moment: datetime | None) -> None:
    """Unix seconds are read; zero, which stands for "not yet", and what is no time are None."""

    assert moment == from_epoch(seconds)


@given(st.floats() | st.integers())
def test_any_number_is_a_moment_or_none(seconds: float) -> None:
    """No number breaks the reading of a time."""
    moment = from_epoch(seconds)

    assert moment is None or UTC is moment.tzinfo


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(hours=24)


@pytest.mark.parametrize(
    ("query", "created_at", "finished_at", "expiry"),
    [
        ("?Expires=1795348800", None, None, datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("?a=b&Expires=1795348800&Signature=s", NOON, NOON, datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("?Expires=1795348800#x", None, NOON, datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("?Expires=1", None, NOON, NOON + DAY),
        ("?Expires=1795262399", NOON, None, None),
        ("?Expires=xxx", None, NOON, NOON + DAY),
        ("?NotExpires=1795348800", None, NOON, NOON + DAY),
        ("?Expires=99999999999", None, NOON, NOON + DAY),
        ("?Expires=" + "9" * 5000, None, NOON, NOON + DAY),
        ("", None, NOON, NOON + DAY),
        ("", NOON, None, None),
    ],
)
def test_the_expiry_of_a_url(
    query: str, created_at: datetime | None, finished_at: datetime | None, expiry: datetime | None
) -> None:
    """The signature tells, unless it expires before the task was made; else it is a lifetime after the end."""
    url = f"https://r.example/v.mp4{query}"

    assert expiry == url_expiry(url, created_at=created_at, finished_at=finished_at, lifetime=DAY)
