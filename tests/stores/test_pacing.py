"""The row that spaces the requests of an account, as a pure function of time."""

from __future__ import annotations

from happyhorse_async.stores.pacing import Pace


def waits(pace: Pace, now: float, interval: float, count: int) -> list[float]:
    found = []
    for _ in range(count):
        pace, wait = pace.permit(now, interval)
        found.append(round(wait, 6))
    return found


def test_what_was_not_used_is_not_made_up_for() -> None:
    """After a quiet minute, the permits come at their interval as before."""
    pace, _ = Pace(100.0).permit(100.0, 0.2)

    assert [0.0, 0.2, 0.4] == waits(pace, 160.0, 0.2, 3)


def test_a_row_that_lies_further_ahead_than_any_pause_counts_as_due() -> None:
    """The clock was set back, or the machine restarted: nothing waits for a moment that may never come."""
    assert [0.0, 0.2] == waits(Pace(5000.0, is_probing=False), 100.0, 0.2, 2)
    assert [30.0] == waits(Pace(130.0), 100.0, 0.2, 1)
    assert [0.0, 0.2] == waits(Pace(100.0, spacing=50.0, spacing_until=9000.0), 100.0, 0.2, 2)


def test_many_processes_may_be_ahead_by_a_permit_each() -> None:
    """A slow rate is not mistaken for a jump of the clock."""
    assert [20.0 * number for number in range(10)] == waits(Pace(0.0), 0.0, 20.0, 10)


def test_a_refused_probe_delays_everything_again() -> None:
    """The pause counts from the refusal."""
    pace = Pace(0.0).held_back(100.0, pause=5.0, interval=0.0, lasting=0.0)
    pace, _ = pace.permit(100.0, 0.1)
    pace = pace.held_back(105.5, pause=8.0, interval=0.0, lasting=0.0)

    assert [8.0, 9.0, 9.1] == waits(pace, 105.5, 0.1, 3)


def test_an_interval_ends() -> None:
    """Afterwards the caller's own holds, and a shorter one may be set."""
    pace = Pace(0.0).held_back(0.0, pause=0.0, interval=2.0, lasting=10.0)

    assert [0.0, 2.0, 4.0] == waits(pace, 5.0, 0.1, 3)
    assert [0.0, 0.1, 0.2] == waits(pace, 10.0, 0.1, 3)
    assert [0.0, 1.0] == waits(pace.held_back(11.0, pause=0.0, interval=1.0, lasting=9.0), 11.0, 0.1, 2)
