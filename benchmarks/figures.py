"""What comes of a run: how many jobs, at what price in requests, and how late their ends were noticed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from account import ExpectedUsage, Task


@dataclass
class Notices:
    """What a client says while it works."""

    noticed: dict[str, float] = field(default_factory=dict)
    """When it knew of the end of a task, by the task's id."""
    lost: list[str] = field(default_factory=list)
    """What became of a job whose end it will never know."""

    def end(self, task_id: str, at: float) -> None:
        self.noticed[task_id] = at

    def lose(self, why: object) -> None:
        self.lost.append(f"{type(why).__name__}: {why}"[:120] if isinstance(why, BaseException) else str(why)[:120])


@dataclass(frozen=True)
class Figures:
    """The figures of one run. Times are seconds of its clock."""

    finished: int
    lost: int
    queries: int
    lists: int
    refused: int
    requests_per_job: float
    refused_share: float
    mean: float
    p50: float
    p95: float
    p99: float
    longest: float


def measure(
    tasks: Mapping[str, Task], asked: Sequence[ExpectedUsage], notices: Notices, *, since: float, until: float
) -> Figures:
    """Count what happened from *since* to *until*. Submits are not counted, a job that is lost always is."""
    ended = [task for task in tasks.values() if task.ended is not None and since <= task.ended < until]
    delays = sorted(
        notices.noticed[task.id] - task.ended for task in ended if task.id in notices.noticed and task.ended
    )
    counted = [request for request in asked if since <= request.at < until and request.kind != "submit"]
    refused = sum(request.status == 429 for request in counted)
    return Figures(
        finished=len(ended),
        lost=len(notices.lost),
        queries=sum(request.kind == "query" for request in counted),
        lists=sum(request.kind == "list" for request in counted),
        not_accepted=refused,
        requests_per_job=len(counted) / max(1, len(ended)),
        refused_share=refused / max(1, len(counted)),
        mean=statistics.fmean(delays) if delays else math.nan,
        p50=quantile(delays, 0.5),
        p95=quantile(delays, 0.95),
        p99=quantile(delays, 0.99),
        longest=delays[-1] if delays else math.nan,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that *share* of the values, which are in order, do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


HEADINGS = (
    f"{'':24} {'jobs':>6} {'lost':>5} {'429':>6} {'req/job':>7} {'queries':>7} {'lists':>6}"
    f" {'mean':>6} {'p50':>6} {'p95':>6} {'p99':>6} {'max':>6}"
)


def line(name: str, found: Figures) -> str:
    return (
        f"{name:24} {found.finished:6} {found.lost:5} {found.refused_share:6.1%} {found.requests_per_job:7.2f}"
        f" {found.queries:7} {found.can_list:6}"
        f" {found.mean:6.1f} {found.p50:6.1f} {found.p95:6.1f} {found.p99:6.1f} {found.longest:6.1f}"
    )
