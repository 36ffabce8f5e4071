"""Webhooks of the emulator as an endpoint receives them, over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

import happyhorse_async as hh
from happyhorse_async.emulator import CallbackScenario, Emulator, Scenario, SimulatedTask

if TYPE_CHECKING:
    from conftest import Arrival, Emulate, Receiver, Submit

SECRET = "0123456789abcdef"
AT_ONCE = Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=0))


async def query(http: ClientSession, emulator: Emulator, provider: str, task_id: str) -> Any:
    path = {"hiapi": "/v1/tasks/", "dashscope": "/tasks/"}[provider]
    headers = {"Authorization": "Bearer sk-any"}
    async with http.get(emulator.url(provider) + path + task_id, headers=headers) as response:
        return await response.json()


def is_signed(arrival: Arrival, secret: str = SECRET) -> bool:
    """Check a callback of HiAPI as its documentation says."""
    moment = arrival.headers["X-HiAPI-Timestamp"]
    message = moment.encode() + b"." + arrival.body
    expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    age = datetime.now(UTC).timestamp() - int(moment)
    return expected == arrival.headers["X-HiAPI-Signature"] and abs(age) < 5


async def test_a_webhook_of_hiapi_is_the_signed_task(
    emulate: Emulate, submit: Submit, receiver: Receiver, http: ClientSession
) -> None:
    """It is posted to the URL of the submit, signed over time and raw bytes, and names the emulator."""
    async with emulate() as emulator:
        task_id = await submit(emulator)
        (arrival,) = await receiver.until(1)
        queried = await query(http, emulator, "hiapi", task_id)

    assert ("POST", receiver.url.partition("/hooks")[2]) == (arrival.method, arrival.target.partition("/hooks")[2])
    assert "application/json" == arrival.headers["Content-Type"]
    assert "happyhorse-emulator" == arrival.headers["User-Agent"]
    assert "success" == arrival.content["status"]
    assert queried["data"] == arrival.content
    assert is_signed(arrival)


async def test_without_a_secret_nothing_is_signed(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """Without a secret there are no signature headers."""
    async with emulate(callback_secret=None) as emulator:
        await submit(emulator)
        await submit(emulator, "dashscope")
        arrivals = await receiver.until(2)

    assert not [name for arrival in arrivals for name in arrival.headers if "hiapi" in name.lower()]
    assert not [name for arrival in arrivals for name in arrival.headers if name.lower().endswith("token")]


async def test_a_failed_task_sends_a_webhook(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """It has the error and no output."""
    async with emulate() as emulator:
        await submit(emulator, prompt="fail TIMEOUT")
        (arrival,) = await receiver.until(1)

    assert ("fail", "TASK_TIMEOUT") == (arrival.content["status"], arrival.content["error"]["code"])
    assert "output" not in arrival.content
    assert is_signed(arrival)


async def test_a_webhook_of_dashscope_is_a_cloud_event(
    emulate: Emulate, submit: Submit, receiver: Receiver, http: ClientSession
) -> None:
    """It goes to the events URL, with the token and without the result."""
    async with emulate() as emulator:
        task_id = await submit(emulator, "dashscope")
        (arrival,) = await receiver.until(1)
        output = (await query(http, emulator, "dashscope", task_id))["output"]

    event = arrival.content
    assert ("1.0", "acs.dashscope", "dashscope:System:AsyncTaskFinish") == (
        event["specversion"],
        event["source"],
        event["type"],
    )
    assert (task_id, "SUCCEEDED", False) == tuple(
        event["data"][name] for name in ("task_id", "task_status", "contain_result")
    )
    assert output["end_time"].partition(".")[0] == event["data"]["end_time"]
    assert event["data"]["user_api_unique_key"].endswith(":happyhorse-1.1-t2v")
    assert SECRET == arrival.headers["x-eventbridge-signature-token"]
    assert arrival.headers["x-eventbridge-signature-timestamp"].isdigit()


async def test_no_webhook_is_sent_without_a_url_or_for_a_canceled_task(
    emulate: Emulate, submit: Submit, receiver: Receiver, http: ClientSession
) -> None:
    """Nor by a provider that has no webhooks."""
    async with emulate() as emulator:
        headers = {"Authorization": "Bearer sk-any"}
        for provider, model in (("hiapi", "happyhorse-1-0"), ("nexusflow", "happyhorse-1.0-t2v")):
            content: dict[str, Any] = {"model": model, "prompt": "a kite", "webhook_url": receiver.url}
            content = {"model": model, "input": {"prompt": "a kite"}} if provider == "hiapi" else content
            async with http.post(emulator.url(provider) + "/v1/tasks", json=content, headers=headers) as response:
                assert response.ok
        waiting = await submit(emulator, "dashscope", "PENDING")
        async with http.post(f"{emulator.url('dashscope')}/tasks/{waiting}/cancel", headers=headers) as response:
            assert response.ok
        last = await submit(emulator, "dashscope")
        arrivals = await receiver.until(1)

    assert [last] == [arrival.content["data"]["task_id"] for arrival in arrivals]


async def test_a_webhook_is_repeated_until_it_is_answered_with_2xx(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """Every other status, a redirect included, leads to the same content with a new signature."""
    receiver.statuses.extend((500, 401, 302, 200))
    async with emulate() as emulator:
        task_id = await submit(emulator)
        rows = await emulator.deliveries.wait(4)

    assert [(1, 500), (2, 401), (3, 302), (4, 200)] == [(row.attempt, row.status) for row in rows]
    assert [False, False, False, True] == [row.delivered for row in rows]
    assert {(task_id, "hiapi")} == {(row.task_id, row.provider) for row in rows}
    assert 1 == len({arrival.body for arrival in receiver.arrivals})
    assert all(map(is_signed, receiver.arrivals))


@pytest.mark.parametrize(("provider", "attempts"), [("hiapi", 6), ("dashscope", 4)])
async def test_a_webhook_is_repeated_a_limited_number_of_times(
    emulate: Emulate, submit: Submit, receiver: Receiver, provider: str, attempts: int
) -> None:
    """EventBridge repeats an event three times; HiAPI's number is ours."""
    receiver.always = 503
    async with emulate(speed=1e6) as emulator:
        first = await submit(emulator, provider)
        await emulator.deliveries.wait(attempts)
        second = await submit(emulator, provider)
        rows = await emulator.deliveries.wait(attempts, task_id=second)

        assert [*range(1, attempts + 1)] == [row.attempt for row in rows]
        assert attempts == len([row for row in emulator.deliveries if row.task_id == first])
    if provider == "dashscope":
        assert 2 == len({arrival.content["id"] for arrival in receiver.arrivals})


async def test_attempts_keep_the_pauses_of_the_provider(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """The second attempt comes 10 emulated seconds after the first."""
    receiver.statuses.extend((500,))
    async with emulate(speed=200) as emulator:
        await submit(emulator)
        await emulator.deliveries.wait(1)
        begun = asyncio.get_running_loop().time()
        await emulator.deliveries.wait(2)

    assert asyncio.get_running_loop().time() - begun >= 0.045


async def test_a_refused_connection_is_recorded_and_repeated(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """The delivery has no status, and there is a next attempt."""
    await receiver.stop()
    async with emulate() as emulator:
        await submit(emulator)
        rows = await emulator.deliveries.wait(2)

    assert [(1, None, "no connection"), (2, None, "no connection")] == [
        (row.attempt, row.status, row.problem) for row in rows
    ]


async def test_a_webhook_url_may_have_a_host_name(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """`localhost` is resolved like any name."""
    async with emulate() as emulator:
        await submit(emulator, url=receiver.url.replace("127.0.0.1", "localhost"))
        await receiver.until(1)


async def test_no_webhook_is_sent_to_a_public_host(emulate: Emulate, submit: Submit) -> None:
    """The delivery says why."""
    async with emulate() as emulator:
        await submit(emulator, url="https://93.184.215.14/hooks?secret=x")
        (row,) = await emulator.deliveries.wait(1)

    assert row.status is None
    assert "public internet" in str(row.problem)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "not on this machine"), ("0.0.0.0", "204")])
async def test_webhooks_reach_private_networks_only_from_an_emulator_that_listens_there(
    emulate: Emulate, http: ClientSession, receiver: Receiver, host: str, expected: str
) -> None:
    """An emulator on loopback does not send requests into the network on behalf of local programs."""
    # The unspecified address stands for a private one: it is not loopback, and leads to the receiver.
    url = receiver.url.replace("127.0.0.1", "0.0.0.0")
    content = {"model": "happyhorse-1-0", "input": {"prompt": "a kite"}, "callback": {"url": url}}
    async with emulate(host=host) as emulator:
        tasks = f"http://127.0.0.1:{emulator.address.rpartition(':')[2]}/hiapi/v1/tasks"
        async with http.post(tasks, json=content, headers={"Authorization": "Bearer sk-any"}) as response:
            assert response.ok
        (delivery,) = await emulator.deliveries.wait(1)

    assert expected in str(delivery.problem or delivery.status)


async def test_a_delivery_shows_no_secrets(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """Its URL has no query."""
    async with emulate() as emulator:
        await submit(emulator)
        rows = await emulator.deliveries.wait(1)

    assert "/hooks/video?***" in rows[0].url
    assert not [secret for secret in ("hh-1", "secret=x", SECRET) if secret in repr(rows)]


async def test_duplicates_are_sent_at_the_same_moment(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """The second copy arrives before the first is answered."""
    receiver.gate.clear()
    async with emulate(callbacks=CallbackScenario(duplicates=1)) as emulator:
        await submit(emulator)
        first, second = await receiver.until(2)
        receiver.gate.set()
        rows = await emulator.deliveries.wait(2)

    assert first.body == second.body
    assert [(1, 204), (1, 204)] == [(row.attempt, row.status) for row in rows]


async def test_a_lost_webhook_is_never_sent(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """Its delivery is marked as lost."""
    async with emulate(callbacks=CallbackScenario(loss=1)) as emulator:
        task_ids = [await submit(emulator) for _ in range(3)]
        rows = await emulator.deliveries.wait(3)

    assert [] == receiver.arrivals
    assert [(task_id, True, None, False) for task_id in task_ids] == [
        (row.task_id, row.lost, row.status, row.delivered) for row in rows
    ]


async def test_webhooks_are_reordered(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """Every first of two comes after the second."""
    async with emulate(callbacks=CallbackScenario(reorder=1), speed=1) as emulator:
        task_ids = [await submit(emulator) for _ in range(4)]
        order = [row.task_id for row in await emulator.deliveries.wait(4)]

    assert order.index(task_ids[1]) < order.index(task_ids[0])
    assert order.index(task_ids[3]) < order.index(task_ids[2])


async def test_a_single_webhook_is_held_back_for_a_minute_at_most(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """Without a next one it is sent after an emulated minute."""
    async with emulate(callbacks=CallbackScenario(reorder=1), speed=2000) as emulator:
        await submit(emulator)
        await receiver.until(1)


async def test_a_delay_delays_a_webhook(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """A delay of 100 emulated seconds is 50 milliseconds at 2,000 times the speed."""
    begun = asyncio.get_running_loop().time()
    async with emulate(callbacks=CallbackScenario(delay=(100, 100)), speed=2000) as emulator:
        await submit(emulator)
        await receiver.until(1)

    assert 0.05 <= asyncio.get_running_loop().time() - begun


async def test_an_early_webhook_overtakes_the_response_of_the_submit(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """The submit is answered after its webhook, and its task ends at once."""
    receiver.gate.clear()
    scenario = Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=3600))
    async with emulate(callbacks=CallbackScenario(early=1), scenario=scenario, speed=1) as emulator:
        submitted = asyncio.ensure_future(submit(emulator))
        (arrival,) = await receiver.until(1)
        answered_before = submitted.done()
        receiver.gate.set()
        task_id = await submitted

    assert not answered_before
    assert (task_id, "success") == (arrival.content["taskId"], arrival.content["status"])


async def test_an_early_webhook_that_is_refused_is_repeated(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """The response to the submit waits for the first attempt only."""
    receiver.statuses.append(503)
    async with emulate(callbacks=CallbackScenario(early=1)) as emulator:
        task_id = await submit(emulator)
        rows = await emulator.deliveries.wait(2, task_id=task_id)

    assert [503, 204] == [row.status for row in rows]


@pytest.mark.parametrize(
    ("prompt", "reported"), [("a kite", ["fail", "success"]), ("fail TIMEOUT", ["success", "fail"])]
)
async def test_a_forgery_precedes_the_webhook(
    emulate: Emulate, submit: Submit, receiver: Receiver, prompt: str, reported: list[str]
) -> None:
    """It reports the opposite, is signed with another secret, and is not repeated."""
    receiver.statuses.extend((401, 200))
    async with emulate(callbacks=CallbackScenario(forge=1)) as emulator:
        task_id = await submit(emulator, prompt=prompt)
        rows = await emulator.deliveries.wait(2)

    assert reported == [arrival.content["status"] for arrival in receiver.arrivals]
    assert {task_id} == {arrival.content["taskId"] for arrival in receiver.arrivals}
    assert [False, True] == [is_signed(arrival) for arrival in receiver.arrivals]
    assert [(True, 401), (False, 200)] == [(row.forged, row.status) for row in rows]


async def test_a_forged_event_has_a_wrong_token(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """A forger does not know the token of DashScope's events."""
    async with emulate(callbacks=CallbackScenario(forge=1)) as emulator:
        await submit(emulator, "dashscope")
        forged, true = await receiver.until(2)

    assert SECRET not in forged.headers["x-eventbridge-signature-token"]
    assert SECRET == true.headers["x-eventbridge-signature-token"]


async def test_a_replayed_submit_sends_one_webhook(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """The same idempotency key is the same task."""
    async with emulate() as emulator:
        ids = [await submit(emulator, key="job") for _ in range(2)]
        other = await submit(emulator)
        await emulator.deliveries.wait(1, task_id=other)

        assert 1 == len([row for row in emulator.deliveries if row.task_id == ids[0] == ids[1]])


async def test_webhooks_are_sent_in_the_order_in_which_tasks_end(
    emulate: Emulate, submit: Submit, receiver: Receiver
) -> None:
    """None is sent before its task has ended."""
    runs = {"slow": 8000.0, "fast": 1000.0}
    scenario = Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=runs[request.prompt or ""]))
    async with emulate(scenario=scenario) as emulator:
        ids = {prompt: await submit(emulator, prompt=prompt) for prompt in runs}
        arrivals = await receiver.until(2)

    assert [ids["fast"], ids["slow"]] == [arrival.content["taskId"] for arrival in arrivals]
    assert all(arrival.content["completed"] for arrival in arrivals)


async def test_a_client_submits_with_a_callback_url(receiver: Receiver, emulate: Emulate) -> None:
    """The webhook arrives there, signed."""
    async with emulate() as emulator, hh.Client("hiapi", api_key="any", base_url=emulator.url("hiapi")) as client:
        handle = await client.submit(hh.TextToVideo("a kite", resolution="720P"), callback_url=receiver.url)
        (row,) = await emulator.deliveries.wait(1, task_id=handle.id)

    assert row.delivered
    assert is_signed(receiver.arrivals[0])
