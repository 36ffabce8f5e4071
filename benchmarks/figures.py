"""The results of a run: jobs done and lost, requests, and how late the ends of the jobs were noticed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from account import SeenRequest, Task


@dataclass
class Outcomes:
    """What a client has recorded."""

    jobs: int = 0
    """How many jobs it was given."""
    noticed: dict[str, float] = field(default_factory=dict)
    """When it knew of the end of a task, by the task's id."""
    lost: list[str] = field(default_factory=list)
    """Why a job was given up, or its end never noticed."""

    def end(self, task_id: str, at: float) -> None:
        self.noticed[task_id] = at

    def lose(self, why: object) -> None:
        self.lost.append(f"{type(why).__name__}: {why}"[:120] if isinstance(why, BaseException) else str(why)[:120])


@dataclass(frozen=True)
class Figures:
    """The figures of one run. Times are seconds of its clock."""

    jobs: int
    """How many jobs the client was given in the whole run."""
    lost: int
    """How many of these it has given up, or never noticed to end."""
    finished: int
    """How many tasks ended in the measured span, on which the other figures are based."""
    queries: int
    lists: int
    throttled: int
    requests_per_job: float
    throttled_share: float
    mean: float
    p50: float
    p95: float
    p99: float
    longest: float


def measure(
    tasks: Mapping[str, Task], requests: Sequence[SeenRequest], outcomes: Outcomes, *, since: float, until: float
) -> Figures:
    """Count what happened from *since* to *until*, without submits. Jobs and losses are those of the whole run."""
    ended = [task for task in tasks.values() if task.ended is not None and since <= task.ended < until]
    delays = sorted(
        outcomes.noticed[task.id] - task.ended for task in ended if task.id in outcomes.noticed and task.ended
    )
    counted = [request for request in requests if since <= request.at < until and request.kind != "submit"]
    throttled = sum(request.status == 429 for request in counted)
    return Figures(
        jobs=outcomes.jobs,
        lost=len(outcomes.lost),
        finished=len(ended),
        queries=sum(request.kind == "query" for request in counted),
        lists=sum(request.kind == "list" for request in counted),
        throttled=throttled,
        requests_per_job=len(counted) / max(1, len(ended)),
        throttled_share=throttled / max(1, len(counted)),
        mean=statistics.fmean(delays) if delays else math.nan,
        p50=quantile(delays, 0.5),
        p95=quantile(delays, 0.95),
        p99=quantile(delays, 0.99),
        longest=delays[-1] if delays else math.nan,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that *share* of the sorted values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


HEADINGS = (
    f"{'':24} {'jobs':>6} {'lost':>5} {'429':>6} {'req/job':>7} {'queries':>7} {'lists':>6}"
    f" {'mean':>6} {'p50':>6} {'p95':>6} {'p99':>6} {'max':>6}"
)


def line(name: str, found: Figures) -> str:
    return (
        f"{name:24} {found.jobs:6} {found.lost:5} {found.throttled_share:6.1%} {found.requests_per_job:7.2f}"
        f" {found.queries:7} {found.lists:6}"
        f" {found.mean:6.1f} {found.p50:6.1f} {found.p95:6.1f} {found.p99:6.1f} {found.longest:6.1f}"
    )
