"""What becomes of a task, by seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from happyhorse_async.emulator import Scenario, SimulatedTask
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.request import TextToVideo
from happyhorse_async.task import FailureReason

KITE = TextToVideo("a kite")


def simulated_tasks(scenario: Scenario, seed: str, count: int = 2000) -> list[SimulatedTask]:
    return [scenario.simulated(KITE, number, seed=seed) for number in range(1, count + 1)]


def test_the_same_seed_is_the_same_course() -> None:
    """Two scenarios alike decide alike, and another seed decides otherwise."""
    first, again, other = (
        simulated_tasks(Scenario(), "1"),
        simulated_tasks(Scenario(), "1"),
        simulated_tasks(Scenario(), "2"),
    )

    assert first == again
    assert first != other


def test_courses_differ_from_task_to_task_within_their_spans() -> None:
    """Waits and runs lie within the spans and hardly repeat."""
    found = simulated_tasks(Scenario(queue=(2, 3), run=(10, 20)), "1")

    assert all(
        2 <= simulated.queue <= 3 and 10 <= simulated.run <= 20 and simulated.failure is None for simulated in found
    )
    assert len({simulated.run for simulated in found}) > 1900


def test_shares_of_failures_and_of_stuck_tasks_are_kept() -> None:
    """About as many tasks fail for each reason, and run for ever, as their shares say."""
    scenario = Scenario(
        failures={FailureReason.CONTENT_REJECTED: 0.25, FailureReason.PROVIDER_FAULT: 0.125}, stuck=0.125
    )

    found = simulated_tasks(scenario, "1")

    rejected = sum(simulated.failure is FailureReason.CONTENT_REJECTED for simulated in found)
    broken = sum(simulated.failure is FailureReason.PROVIDER_FAULT for simulated in found)
    stuck = sum(simulated.run == math.inf for simulated in found)
    assert 440 < rejected < 560
    assert 200 < broken < 300
    assert 200 < stuck < 300


def test_failures_leave_the_durations_alone() -> None:
    """The n-th task takes as long as without any failures."""
    plain = simulated_tasks(Scenario(), "1")
    failing = simulated_tasks(Scenario(failures={FailureReason.TIMEOUT: 1}), "1")

    assert [simulated.run for simulated in plain] == [simulated.run for simulated in failing]
    assert {FailureReason.TIMEOUT} == {simulated.failure for simulated in failing}


def test_a_choice_wins_and_none_leaves_it_to_chance() -> None:
    """The function decides for single requests by their content and number."""
    chosen = SimulatedTask(queue=0, run=math.inf)
    scenario = Scenario(choose=lambda request, number: chosen if (request, number) == (KITE, 2) else None)

    first, second, third = simulated_tasks(scenario, "1", 3)

    assert chosen == second
    assert [first, third] == [simulated_tasks(Scenario(), "1", 3)[place] for place in (0, 2)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scenario(queue=(4, 1)),
        lambda: Scenario(run=(-1, 1)),
        lambda: Scenario(run=(1, math.inf)),
        lambda: Scenario(stuck=-0.1),
        lambda: Scenario(stuck=0.5, failures={FailureReason.TIMEOUT: 0.6}),
        lambda: SimulatedTask(queue=-1),
        lambda: SimulatedTask(run=math.nan),
    ],
)
def test_impossible_figures_are_refused(make: Callable[[], object]) -> None:
    """Spans out of order, negative times and shares of more than one are configuration errors."""
    with pytest.raises(ConfigurationError):
        make()
