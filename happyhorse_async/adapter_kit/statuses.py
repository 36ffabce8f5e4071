"""
The status words and timestamps of providers.

Each adapter has a table of its provider's documented words. A relay may pass on another vendor's word for the same
status. This module has the common synonyms. A synonym of success counts only if there is a video, so that an unknown
word never ends a task that is still running.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

from ..task import TaskStatus

_EXPIRES = re.compile(r"[?&]Expires=([0-9]{1,12})(?=[&#]|\Z)")
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)

_SEPARATORS = re.compile(r"[\W_]+")
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")

_SUCCESS = frozenset(
    {
        "succeeded", "succeed", "succeeds", "success", "successful", "successfully", "completed", "complete",
        "completion", "done", "finished", "finish", "ok", "ready", "generated", "available", "delivered", "ended",
        "finalized", "finalised", "end", "processed", "rendered", "produced", "published", "archived", "stored",
        "saved", "fulfilled", "successed", "succeded", "suceeded", "sucess",
    }
)  # fmt: skip
_FAILURE = frozenset({"failed", "fail", "fails", "failure"})
# A relay also uses these when its own query failed, so they count only together with the task's error.
_VAGUE_FAILURE = frozenset({"error", "errored", "exception", "rejected", "aborted", "timeout", "timedout"})
_CANCELED = frozenset({"canceled", "cancelled"})
# Chinese does not separate words.
_CHINESE = (
    (re.compile("[未不没待]|部分|中$"), "not"),
    (re.compile("失败"), "failed"),
    (re.compile("取消"), "canceled"),
    (re.compile("成功|完成|结束"), "done"),
)
# Combined with one of these, a word does not mean the end: `not_ready`, `partially_completed`, `failed_retrying`.
_NOT_YET = frozenset(
    {
        "not", "un", "in", "to", "be", "being", "partial", "partially", "almost", "nearly", "waiting", "pending",
        "queued", "running", "processing", "retry", "retrying", "retried", "will", "soon", "until", "before", "if",
    }
)  # fmt: skip


def read_status(
    word: str | None,
    documented: Mapping[str, TaskStatus],
    *,
    has_video: bool = False,
    has_error: bool = False,
) -> TaskStatus:
    """
    Return the status for a provider's *word*; `UNKNOWN` if the word is not known.

    Letter case, surrounding blanks, and the choice between blank, `-` and `_` do not matter.

    :param documented: the provider's own words. They take precedence over the shared synonyms.
    :param has_video: whether the response has a video. Without one, a synonym of success is `UNKNOWN`.
    :param has_error: whether the response has an error of the task. Without one, a vague word such as `error` is
        `UNKNOWN`.
    """
    if word and word in documented:
        return documented[word]
    normal = _normal(word or "")
    if not normal:
        return TaskStatus.UNKNOWN
    for known, status in documented.items():
        if _normal(known) == normal:
            return status
    # A word may be longer: `task_completed`, `VideoFailed`, `completed successfully`.
    parts = frozenset(_normal(_CAMEL_CASE.sub("_", word or "")).split("_")) | {normal, normal.replace("_", "")}
    parts |= {meaning for characters, meaning in _CHINESE if characters.search(normal)}
    if parts & _NOT_YET:
        return TaskStatus.UNKNOWN
    if has_video:
        is_success = bool(parts & _SUCCESS) and not parts & (_FAILURE | _VAGUE_FAILURE | _CANCELED)
        return TaskStatus.SUCCEEDED if is_success else TaskStatus.UNKNOWN
    if parts & _FAILURE or (parts & _VAGUE_FAILURE and has_error):
        return TaskStatus.FAILED
    return TaskStatus.CANCELED if parts & _CANCELED else TaskStatus.UNKNOWN


def _normal(word: str) -> str:
    return _SEPARATORS.sub("_", word.casefold()).strip("_")


def parse_datetime(text: str | None, *, default_zone: timezone = UTC) -> datetime | None:
    """
    Read an ISO 8601 or `YYYY-MM-DD HH:mm:ss.SSS` timestamp; `None` if it is missing or cannot be read.

    :param default_zone: the zone of a timestamp without one.
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
