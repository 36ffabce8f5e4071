"""
The status words of providers.

Each adapter has the table of its provider's documented words. A relay may pass on another vendor's word for the same
end. This module has the synonyms that all adapters share. A success is believed only with a video beside it, so that an
unknown word never ends a task that is still running.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..task import TaskStatus

_SEPARATORS = re.compile(r"[\s_-]+")

_SUCCESS = frozenset(
    {
        "succeeded", "succeed", "success", "successful", "successfully", "completed", "complete", "completion", "done",
        "finished", "finish", "ok", "ready", "generated", "available", "delivered", "ended", "task_success",
        "task_succeeded", "task_completed", "task_finished", "成功", "完成", "已完成",
    }
)  # fmt: skip
_FAILURE = frozenset({"failed", "fail", "failure", "task_failed", "task_fail", "失败", "生成失败"})
# A relay also says so when its own query failed, so these count only together with the task's error.
_VAGUE_FAILURE = frozenset({"error", "errored", "exception", "rejected", "aborted", "timeout", "timed_out"})
_CANCELED = frozenset({"canceled", "cancelled", "task_canceled", "task_cancelled", "已取消"})


def read_status(
    word: str | None,
    documented: Mapping[str, TaskStatus],
    *,
    has_video: bool = False,
    has_error: bool = False,
) -> TaskStatus:
    """
    Return the status that a provider's *word* means; `UNKNOWN` if nothing is known about it.

    Letter case, surrounding blanks, and the choice between blank, `-` and `_` do not matter.

    :param documented: the provider's own words. They take precedence over the shared synonyms.
    :param has_video: whether the answer has a video. Without one, a synonym of success is `UNKNOWN`.
    :param has_error: whether the answer says why the task failed. Without it, a vague word such as `error` is
        `UNKNOWN`.
    """
    normal = _normal(word or "")
    if not normal:
        return TaskStatus.UNKNOWN
    for known, status in documented.items():
        if _normal(known) == normal:
            return status
    if normal in _SUCCESS and has_video:
        return TaskStatus.SUCCEEDED
    if has_video:
        return TaskStatus.UNKNOWN
    if normal in _FAILURE or (normal in _VAGUE_FAILURE and has_error):
        return TaskStatus.FAILED
    return TaskStatus.CANCELED if normal in _CANCELED else TaskStatus.UNKNOWN


def _normal(word: str) -> str:
    return _SEPARATORS.sub("_", word.strip().casefold())
