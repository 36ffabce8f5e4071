"""Callbacks of the emulator as an endpoint gets them, over real HTTP."""

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


async def test_a_callback_is_the_signed_task(
    emulate: Emulate, submit: Submit, receiver: Receiver, http: ClientSession
) -> None:
    """HiAPI posts the bare task to the very URL of the submit, signed over time and raw bytes, and says what it is."""
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
    """An account that has set no secret gets callbacks without the headers of a signature."""
    async with emulate(callback_secret=None) as emulator:
        await submit(emulator)
        await submit(emulator, "dashscope")
        arrivals = await receiver.until(2)

    assert not [name for arrival in arrivals for name in arrival.headers if "hiapi" in name.lower()]
    assert not [name for arrival in arrivals for name in arrival.headers if name.lower().endswith("token")]


async def test_a_failure_is_told_as_well(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """A failed task's callback has the error and no output."""
    async with emulate() as emulator:
        await submit(emulator, prompt="fail TIMEOUT")
        (arrival,) = await receiver.until(1)

    assert ("fail", "TASK_TIMEOUT") == (arrival.content["status"], arrival.content["error"]["code"])
    assert "output" not in arrival.content
    assert is_signed(arrival)


async def test_an_event_is_a_cloud_event(
    emulate: Emulate, submit: Submit, receiver: Receiver, http: ClientSession
) -> None:
    """DashScope's event comes to the URL of the emulator in an envelope, with the token, and without the result."""
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


async def test_what_was_not_asked_for_is_not_sent(
    emulate: Emulate, submit: Submit, receiver: Receiver, http: ClientSession
) -> None:
    """A submit without a URL has no callback, nor has one of a provider without callbacks, nor a canceled task."""
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


async def test_a_callback_comes_again_until_it_is_taken(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """Whatever is no 2xx, a redirect included, is tried again with the same content and a signature of its own."""
    receiver.statuses.extend((500, 401, 302, 200))
    async with emulate() as emulator:
        task_id = await submit(emulator)
        rows = await emulator.deliveries.wait(4)

    assert [(1, 500), (2, 401), (3, 302), (4, 200)] == [(row.attempt, row.status) for row in rows]
    assert [False, False, False, True] == [row.taken for row in rows]
    assert {(task_id, "hiapi")} == {(row.task_id, row.provider) for row in rows}
    assert 1 == len({arrival.body for arrival in receiver.arrivals})
    assert all(map(is_signed, receiver.arrivals))


@pytest.mark.parametrize(("provider", "tries"), [("hiapi", 6), ("dashscope", 4)])
async def test_a_callback_is_given_up(
    emulate: Emulate, submit: Submit, receiver: Receiver, provider: str, tries: int
) -> None:
    """After so many tries the provider leaves it: EventBridge after three repetitions, all of one event."""
    receiver.always = 503
    async with emulate(speed=1e6) as emulator:
        first = await submit(emulator, provider)
        await emulator.deliveries.wait(tries)
        second = await submit(emulator, provider)
        rows = await emulator.deliveries.wait(tries, task_id=second)

        assert [*range(1, tries + 1)] == [row.attempt for row in rows]
        assert tries == len([row for row in emulator.deliveries if row.task_id == first])
    if provider == "dashscope":
        assert 2 == len({arrival.content["id"] for arrival in receiver.arrivals})


async def test_tries_keep_their_distance(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """The second try comes 10 emulated seconds after the first, not sooner."""
    receiver.statuses.extend((500,))
    async with emulate(speed=200) as emulator:
        await submit(emulator)
        await emulator.deliveries.wait(1)
        begun = asyncio.get_running_loop().time()
        await emulator.deliveries.wait(2)

    assert asyncio.get_running_loop().time() - begun >= 0.045


async def test_nobody_there(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """Where nobody listens there is a delivery without a status, and a next try."""
    await receiver.stop()
    async with emulate() as emulator:
        await submit(emulator)
        rows = await emulator.deliveries.wait(2)

    assert [(1, None, "no connection"), (2, None, "no connection")] == [
        (row.attempt, row.status, row.problem) for row in rows
    ]


async def test_a_name_is_looked_up(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """A private host may be named."""
    async with emulate() as emulator:
        await submit(emulator, url=receiver.url.replace("127.0.0.1", "localhost"))
        await receiver.until(1)


async def test_nothing_is_sent_to_the_internet(emulate: Emulate, submit: Submit) -> None:
    """What an emulator makes up never reaches a public host; the record says so."""
    async with emulate() as emulator:
        await submit(emulator, url="https://93.184.215.14/hooks?secret=x")
        (row,) = await emulator.deliveries.wait(1)

    assert row.status is None
    assert "public internet" in str(row.problem)


async def test_the_record_has_no_secrets(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """A delivery shows where it went without the query of the URL."""
    async with emulate() as emulator:
        await submit(emulator)
        rows = await emulator.deliveries.wait(1)

    assert "/hooks/video?***" in rows[0].url
    assert not [secret for secret in ("hh-1", "secret=x", SECRET) if secret in repr(rows)]


async def test_duplicates_come_at_the_same_moment(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """With duplicates the second copy is there before the first is answered."""
    receiver.gate.clear()
    async with emulate(callbacks=CallbackScenario(duplicates=1)) as emulator:
        await submit(emulator)
        first, second = await receiver.until(2)
        receiver.gate.set()
        rows = await emulator.deliveries.wait(2)

    assert first.body == second.body
    assert [(1, 204), (1, 204)] == [(row.attempt, row.status) for row in rows]


async def test_a_lost_callback_is_never_sent(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """With a loss of 1 nothing arrives, and the record says so."""
    async with emulate(callbacks=CallbackScenario(loss=1)) as emulator:
        task_ids = [await submit(emulator) for _ in range(3)]
        rows = await emulator.deliveries.wait(3)

    assert [] == receiver.arrivals
    assert [(task_id, True, None, False) for task_id in task_ids] == [
        (row.task_id, row.lost, row.status, row.taken) for row in rows
    ]


async def test_callbacks_change_places(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """With reorder every first of two comes after the second."""
    async with emulate(callbacks=CallbackScenario(reorder=1), speed=1) as emulator:
        task_ids = [await submit(emulator) for _ in range(4)]
        order = [row.task_id for row in await emulator.deliveries.wait(4)]

    assert order.index(task_ids[1]) < order.index(task_ids[0])
    assert order.index(task_ids[3]) < order.index(task_ids[2])


async def test_a_lone_callback_is_not_held_for_ever(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """Where no other one comes to change places with, a callback is sent after an emulated minute."""
    async with emulate(callbacks=CallbackScenario(reorder=1), speed=2000) as emulator:
        await submit(emulator)
        await receiver.until(1)


async def test_a_delay_keeps_a_callback(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """A delay of 100 emulated seconds is 50 milliseconds at 2,000 times the speed."""
    begun = asyncio.get_running_loop().time()
    async with emulate(callbacks=CallbackScenario(delay=(100, 100)), speed=2000) as emulator:
        await submit(emulator)
        await receiver.until(1)

    assert 0.05 <= asyncio.get_running_loop().time() - begun


async def test_an_early_callback_overtakes_the_answer(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """The submit is answered only after its callback was, though its task would have run for an hour."""
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


async def test_a_refused_early_callback_comes_again(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """One try is all that the answer to the submit waits for."""
    receiver.statuses.append(503)
    async with emulate(callbacks=CallbackScenario(early=1)) as emulator:
        task_id = await submit(emulator)
        rows = await emulator.deliveries.wait(2, task_id=task_id)

    assert [503, 204] == [row.status for row in rows]


@pytest.mark.parametrize(("prompt", "told"), [("a kite", ["fail", "success"]), ("fail TIMEOUT", ["success", "fail"])])
async def test_a_forgery_comes_first(
    emulate: Emulate, submit: Submit, receiver: Receiver, prompt: str, told: list[str]
) -> None:
    """Before the true callback comes one that says the contrary and is signed with another secret, and never again."""
    receiver.statuses.extend((401, 200))
    async with emulate(callbacks=CallbackScenario(forge=1)) as emulator:
        task_id = await submit(emulator, prompt=prompt)
        rows = await emulator.deliveries.wait(2)

    assert told == [arrival.content["status"] for arrival in receiver.arrivals]
    assert {task_id} == {arrival.content["taskId"] for arrival in receiver.arrivals}
    assert [False, True] == [is_signed(arrival) for arrival in receiver.arrivals]
    assert [(True, 401), (False, 200)] == [(row.forged, row.status) for row in rows]


async def test_a_forged_event_has_another_token(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """A forger of DashScope's events does not know the token."""
    async with emulate(callbacks=CallbackScenario(forge=1)) as emulator:
        await submit(emulator, "dashscope")
        forged, true = await receiver.until(2)

    assert SECRET not in forged.headers["x-eventbridge-signature-token"]
    assert SECRET == true.headers["x-eventbridge-signature-token"]


async def test_a_repeated_submit_is_told_once(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """The same idempotency key is the same task, and one callback."""
    async with emulate() as emulator:
        ids = [await submit(emulator, key="job") for _ in range(2)]
        other = await submit(emulator)
        await emulator.deliveries.wait(1, task_id=other)

        assert 1 == len([row for row in emulator.deliveries if row.task_id == ids[0] == ids[1]])


async def test_a_running_task_is_told_of_at_its_end(emulate: Emulate, submit: Submit, receiver: Receiver) -> None:
    """Tasks are told of in the order in which they end, none before it has ended."""
    runs = {"slow": 1000.0, "fast": 500.0}
    scenario = Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=runs[request.prompt or ""]))
    async with emulate(scenario=scenario) as emulator:
        ids = {prompt: await submit(emulator, prompt=prompt) for prompt in runs}
        arrivals = await receiver.until(2)

    assert [ids["fast"], ids["slow"]] == [arrival.content["taskId"] for arrival in arrivals]
    assert all(arrival.content["completed"] for arrival in arrivals)


async def test_a_client_asks_for_callbacks(receiver: Receiver, emulate: Emulate) -> None:
    """What a client submits with a callback URL is told there."""
    async with emulate() as emulator, hh.Client("hiapi", api_key="any", base_url=emulator.url("hiapi")) as client:
        handle = await client.submit(hh.TextToVideo("a kite", resolution="720P"), callback_url=receiver.url)
        (row,) = await emulator.deliveries.wait(1, task_id=handle.id)

    assert row.taken
    assert is_signed(receiver.arrivals[0])
