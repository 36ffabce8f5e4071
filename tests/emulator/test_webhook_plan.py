"""What becomes of a callback, by seed, and of whom somebody is told when."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from happyhorse_async.emulation import CallbackRules, ProviderLimits
from happyhorse_async.emulator import CallbackScenario, Scenario, SimulatedTask
from happyhorse_async.emulator.provider import EmulatedProvider
from happyhorse_async.emulator.signed_urls import SignedUrls
from happyhorse_async.emulator.webhook_plan import DeliveryPlan
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.messages import HttpRequest
from happyhorse_async.registry import find_emulated_api

START = 1_780_000_000.0
RULES = CallbackRules(pauses=((10.0, 20.0), (30.0, 30.0)))


def passages(scenario: CallbackScenario, seed: str = "1") -> list[DeliveryPlan]:
    return [scenario.delivery_plan(number, seed=seed, rules=RULES) for number in range(1, 2001)]


def test_the_same_seed_is_the_same_passage() -> None:
    """Two scenarios alike decide alike, and another seed decides otherwise."""
    scenario = CallbackScenario(loss=0.5, duplicates=0.5, delay=(0, 60), reorder=0.5, early=0.5, forge=0.5)

    first, again, other = passages(scenario), passages(scenario), passages(scenario, "2")

    assert first == again
    assert first != other


def test_by_default_nothing_happens_to_a_callback() -> None:
    """One copy is sent at once, and again after the provider's pauses."""
    found = passages(CallbackScenario())

    assert {(1, 0.0)} == {(len(delivery_plan.copies), delivery_plan.copies[0].delay) for delivery_plan in found}
    assert all(
        10 <= delivery_plan.copies[0].pauses[0] <= 20 and 30 == delivery_plan.copies[0].pauses[1]
        for delivery_plan in found
    )
    assert not any(
        delivery_plan.lost or delivery_plan.early or delivery_plan.held or delivery_plan.forged
        for delivery_plan in found
    )


@pytest.mark.parametrize(
    ("scenario", "happened"),
    [
        (CallbackScenario(loss=0.25), lambda delivery_plan: delivery_plan.lost),
        (CallbackScenario(duplicates=0.25), lambda delivery_plan: len(delivery_plan.copies) == 2),
        (CallbackScenario(reorder=0.25), lambda delivery_plan: delivery_plan.held),
        (CallbackScenario(early=0.25), lambda delivery_plan: delivery_plan.early),
        (CallbackScenario(forge=0.25), lambda delivery_plan: delivery_plan.forged),
    ],
)
def test_shares_are_kept(scenario: CallbackScenario, happened: Callable[[DeliveryPlan], bool]) -> None:
    """It happens to about as many callbacks as the share says, and nothing else does."""
    found = passages(scenario)
    ordinary = passages(CallbackScenario())

    assert 430 < sum(map(happened, found)) < 570
    assert [delivery_plan for delivery_plan in found if not happened(delivery_plan)] == [
        plain for plain, delivery_plan in zip(ordinary, found, strict=True) if not happened(delivery_plan)
    ]


def test_what_is_lost_overtakes_nothing() -> None:
    """A callback that is never sent is not early, and one that is early is not held."""
    both = passages(CallbackScenario(loss=1, early=1, reorder=1))
    early = passages(CallbackScenario(early=1, reorder=1))

    assert not any(delivery_plan.early for delivery_plan in both)
    assert all(delivery_plan.early and not delivery_plan.held for delivery_plan in early)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CallbackScenario(loss=1.1),
        lambda: CallbackScenario(duplicates=-0.1),
        lambda: CallbackScenario(forge=math.nan),
        lambda: CallbackScenario(delay=(2, 1)),
        lambda: CallbackScenario(delay=(-1, 1)),
        lambda: CallbackScenario(delay=(0, math.inf)),
    ],
)
def test_impossible_figures_are_refused(make: Callable[[], object]) -> None:
    """Shares that are none and spans out of order are configuration errors."""
    with pytest.raises(ConfigurationError):
        make()


def provider_with(
    simulated: SimulatedTask, limits: ProviderLimits | None = None
) -> tuple[EmulatedProvider, Callable[..., str]]:
    """Return DashScope with events, and a function that submits a task or cancels one, in seconds from the start."""
    provider = EmulatedProvider(
        find_emulated_api("dashscope"),
        scenario=Scenario(choose=lambda request, number: simulated),
        links=SignedUrls(b"secret"),
        limits=limits,
        events_url="http://127.0.0.1/hooks",
    )

    def post(after: float, cancel: str | None = None) -> str:
        path = f"tasks/{cancel}/cancel" if cancel else "services/aigc/video-generation/video-synthesis"
        message = HttpRequest(
            method="POST",
            url=f"http://host/api/v1/{path}",
            headers={"authorization": "Bearer sk-any", "x-dashscope-async": "enable"},
            body=json.dumps({"model": "happyhorse-1.1-t2v", "input": {"prompt": "a kite"}}).encode(),
        )
        answer = provider.handle(message, now=START + after, origin="http://host")
        assert answer.ok
        return str(json.loads(answer.body).get("output", {}).get("task_id"))

    return provider, post


def told(provider: EmulatedProvider, after: float) -> list[str]:
    return [entry.id for entry, _ in provider.webhook_queue.take(START + after)]


def test_somebody_is_told_at_the_end_and_once() -> None:
    """Nobody is told before the end of a task, nor twice."""
    provider, post = provider_with(SimulatedTask(queue=10, run=100))
    first, second = post(0), post(50)

    assert START + 110 == provider.webhook_queue.next_end()
    assert [] == told(provider, 109)
    assert [first] == told(provider, 110)
    assert [second] == told(provider, 1000)
    assert [] == told(provider, 2000)
    assert math.inf == provider.webhook_queue.next_end()


def test_a_task_that_moves_up_is_told_of_sooner() -> None:
    """When a waiting task is canceled nobody is told of it, and the next one ends before its time."""
    provider, post = provider_with(SimulatedTask(queue=0, run=100), ProviderLimits(running=1))
    first, second, third = post(0), post(0), post(0)

    post(50, cancel=second)

    assert [first] == told(provider, 100)
    assert START + 200 == provider.webhook_queue.next_end()
    assert [third] == told(provider, 200)


def test_of_what_never_ends_nobody_is_told() -> None:
    """A stuck task is let go when the provider forgets it."""
    provider, post = provider_with(SimulatedTask(queue=0, run=math.inf))
    post(0)

    assert START + 86_400 == provider.webhook_queue.next_end()
    assert [] == told(provider, 86_400)
    assert math.inf == provider.webhook_queue.next_end()
