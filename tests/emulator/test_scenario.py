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


def test_the_same_seed_gives_the_same_tasks() -> None:
    """Equal scenarios give equal tasks, another seed gives others."""
    first, again, other = (
        simulated_tasks(Scenario(), "1"),
        simulated_tasks(Scenario(), "1"),
        simulated_tasks(Scenario(), "2"),
    )

    assert first == again
    assert first != other


def test_durations_differ_within_their_ranges() -> None:
    """They hardly repeat."""
    found = simulated_tasks(Scenario(queue=(2, 3), run=(10, 20)), "1")

    assert all(
        2 <= simulated.queue <= 3 and 10 <= simulated.run <= 20 and simulated.failure is None for simulated in found
    )
    assert len({simulated.run for simulated in found}) > 1900


def test_a_share_of_tasks_fails_or_runs_for_ever() -> None:
    """As many as the shares say, for each reason."""
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


def test_failures_do_not_change_durations() -> None:
    """The n-th task takes as long as without failures."""
    plain = simulated_tasks(Scenario(), "1")
    failing = simulated_tasks(Scenario(failures={FailureReason.TIMEOUT: 1}), "1")

    assert [simulated.run for simulated in plain] == [simulated.run for simulated in failing]
    assert {FailureReason.TIMEOUT} == {simulated.failure for simulated in failing}


def test_choose_overrides_chance_unless_it_returns_none() -> None:
    """It decides by the request and its number."""
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
def test_an_impossible_scenario_is_a_configuration_error(make: Callable[[], object]) -> None:
    """Ranges out of order, negative durations and shares above 1 are refused."""
    with pytest.raises(ConfigurationError):
        make()
