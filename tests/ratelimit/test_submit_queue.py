"""Jobs that wait for their submit."""

from __future__ import annotations

from happyhorse_async.jobs.scheduler import SubmitQueue
from happyhorse_async.ratelimit.concurrency import ConcurrencyLimiter
from happyhorse_async.timing import Limits


def filled(max_running: int | None, *jobs: str) -> tuple[SubmitQueue[str], ConcurrencyLimiter]:
    """Put *jobs* into the queue, each with its first letter as queue key."""
    limiter = ConcurrencyLimiter(Limits(max_running=max_running))
    queue = SubmitQueue[str](limiter)
    for job in jobs:
        queue.put(job[0], job, job)
    return queue, limiter


def submitted(queue: SubmitQueue[str], limiter: ConcurrencyLimiter) -> list[str]:
    """Submit all jobs that may be submitted, and return them in order."""
    sent: list[str] = []
    while (job := queue.take()) is not None:
        limiter.acquire(job[0])
        sent.append(job)
    return sent


def test_first_in_first_out_whatever_the_queue_key() -> None:
    assert ["a1", "b1", "a2", "b2"] == submitted(*filled(9, "a1", "b1", "a2", "b2"))
    assert ["a1", "b1", "a2", "b2"] == submitted(*filled(None, "a1", "b1", "a2", "b2"))


def test_a_queue_key_without_room_does_not_block_the_others() -> None:
    assert ["a1", "b1"] == submitted(*filled(1, "a1", "a2", "a3", "b1"))


def test_a_released_permit_lets_the_next_job_go() -> None:
    queue, limiter = filled(1, "a2")
    calls: list[str] = []
    limiter.listeners.add(lambda: calls.append("released"))
    permit = limiter.acquire("a")
    assert permit is not None

    assert queue.take() is None
    assert queue.next_key() is None
    permit.release()
    assert ["released"] == calls
    assert "a" == queue.next_key()
    assert "a2" == queue.take()


def test_a_job_can_be_put_first_and_be_removed() -> None:
    queue, limiter = filled(9, "a1", "a2", "b1", "a3")
    queue.put("a", "a0", "a0", first=True)
    queue.remove("a", "a2")
    queue.remove("a", "a9")

    assert ["a0", "a1", "b1", "a3"] == submitted(queue, limiter)
