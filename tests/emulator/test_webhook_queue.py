"""How webhooks are delivered, by seed, and when they are due."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from happyhorse_async.emulation import CallbackRules, ProviderLimits
from happyhorse_async.emulator import CallbackScenario, Scenario, SimulatedTask
from happyhorse_async.emulator.provider import EmulatedProvider
from happyhorse_async.emulator.signed_urls import SignedUrls
from happyhorse_async.emulator.webhook_queue import DeliveryPlan
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.messages import HttpRequest
from happyhorse_async.registry import find_emulated_api

START = 1_780_000_000.0
RULES = CallbackRules(pauses=((10.0, 20.0), (30.0, 30.0)))


def plans(scenario: CallbackScenario, seed: str = "1") -> list[DeliveryPlan]:
    return [scenario.delivery_plan(number, seed=seed, rules=RULES) for number in range(1, 2001)]


def test_the_same_seed_gives_the_same_delivery_plans() -> None:
    """Equal scenarios give equal plans, another seed gives others."""
    scenario = CallbackScenario(loss=0.5, duplicates=0.5, delay=(0, 60), reorder=0.5, early=0.5, forge=0.5)

    first, again, other = plans(scenario), plans(scenario), plans(scenario, "2")

    assert first == again
    assert first != other


def test_by_default_a_webhook_is_sent_once_at_the_end_of_its_task() -> None:
    """One copy is sent at once, and again after the provider's pauses."""
    found = plans(CallbackScenario())

    assert {(1, 0.0, 30.0)} == {(len(plan.copies), plan.copies[0][0], plan.copies[0][2]) for plan in found}
    assert all(10 <= plan.copies[0][1] <= 20 for plan in found)
    assert not any(plan.lost or plan.early or plan.held or plan.forged for plan in found)


@pytest.mark.parametrize(
    ("scenario", "happened"),
    [
        (CallbackScenario(loss=0.25), lambda plan: plan.lost),
        (CallbackScenario(duplicates=0.25), lambda plan: len(plan.copies) == 2),
        (CallbackScenario(reorder=0.25), lambda plan: plan.held),
        (CallbackScenario(early=0.25), lambda plan: plan.early),
        (CallbackScenario(forge=0.25), lambda plan: plan.forged),
    ],
)
def test_a_share_applies_to_that_many_webhooks(
    scenario: CallbackScenario, happened: Callable[[DeliveryPlan], bool]
) -> None:
    """The share decides how many webhooks are changed; the others are as before."""
    found = plans(scenario)
    ordinary = plans(CallbackScenario())

    assert 430 < sum(map(happened, found)) < 570
    assert [plan for plan in found if not happened(plan)] == [
        plain for plain, plan in zip(ordinary, found, strict=True) if not happened(plan)
    ]


def test_a_lost_webhook_is_not_early_and_an_early_one_is_not_held() -> None:
    """A webhook that is never sent overtakes nothing."""
    both = plans(CallbackScenario(loss=1, early=1, reorder=1))
    early = plans(CallbackScenario(early=1, reorder=1))

    assert not any(plan.early for plan in both)
    assert all(plan.early and not plan.held for plan in early)


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
def test_an_impossible_callback_scenario_is_a_configuration_error(make: Callable[[], object]) -> None:
    """Shares outside of 0 to 1 and delays out of order are refused."""
    with pytest.raises(ConfigurationError):
        make()


def provider_with(
    simulated: SimulatedTask, limits: ProviderLimits | None = None
) -> tuple[EmulatedProvider, Callable[..., str]]:
    """Return DashScope with events, and a function that submits or cancels a task so many seconds after the start."""
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


def ended(provider: EmulatedProvider, after: float) -> list[str]:
    return [entry.id for entry, _ in provider.webhook_queue.take(START + after)]


def test_a_webhook_is_due_once_at_the_end_of_its_task() -> None:
    """No webhook is due before the end of its task, nor twice."""
    provider, post = provider_with(SimulatedTask(queue=10, run=100))
    first, second = post(0), post(50)

    assert START + 110 == provider.webhook_queue.next_end()
    assert [] == ended(provider, 109)
    assert [first] == ended(provider, 110)
    assert [second] == ended(provider, 1000)
    assert [] == ended(provider, 2000)
    assert math.inf == provider.webhook_queue.next_end()


def test_a_cancellation_brings_the_webhooks_behind_it_forward() -> None:
    """A canceled task sends no webhook, and the next one ends earlier."""
    provider, post = provider_with(SimulatedTask(queue=0, run=100), ProviderLimits(running=1))
    first, second, third = post(0), post(0), post(0)

    post(50, cancel=second)

    assert [first] == ended(provider, 100)
    assert START + 200 == provider.webhook_queue.next_end()
    assert [third] == ended(provider, 200)


def test_a_task_that_never_ends_sends_no_webhook() -> None:
    """A stuck task leaves the queue when it expires."""
    provider, post = provider_with(SimulatedTask(queue=0, run=math.inf))
    post(0)

    assert START + 86_400 == provider.webhook_queue.next_end()
    assert [] == ended(provider, 86_400)
    assert math.inf == provider.webhook_queue.next_end()
