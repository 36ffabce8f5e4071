"""The control API: what `Emulator` does, over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from happyhorse_async.emulator import Emulator

Control = Callable[..., Awaitable[Any]]
SUBMIT = {"model": "happyhorse-1.0-t2v", "prompt": "a kite"}
HEADERS = {"Authorization": "Bearer sk-any"}


@pytest.fixture
def control(emulator: Emulator, http: ClientSession) -> Control:
    """Call the control API, and return the status with the decoded body."""

    async def call(method: str, path: str = "", headers: Any = None, **content: Any) -> tuple[int, Any]:
        url = f"{emulator.address}/_emulator{path}"
        async with http.request(method, url, headers=headers, json=content or None) as response:
            return response.status, None if response.status == 204 else await response.json()

    return call


async def submit(emulator: Emulator, http: ClientSession) -> int:
    async with http.post(emulator.url("nexusflow") + "/v1/tasks", json=SUBMIT, headers=HEADERS) as response:
        return response.status


async def statuses(emulator: Emulator, http: ClientSession) -> list[str]:
    async with http.get(emulator.url("nexusflow") + "/v1/tasks", headers=HEADERS) as response:
        ids = [row["id"] for row in (await response.json())["data"]]
    found: list[str] = []
    for task_id in reversed(ids):
        async with http.get(f"{emulator.url('nexusflow')}/v1/tasks/{task_id}", headers=HEADERS) as response:
            found.append((await response.json())["status"])
    return found


async def test_the_state_names_providers_and_faults(control: Control, emulator: Emulator) -> None:
    """A container's health check, and a program in any language, find the base URLs there."""
    emulator.inject("broken-500", on="query")

    status, state = await control("GET")

    assert 200 == status
    assert {name: emulator.url(name) for name in emulator.providers} == state["providers"]
    assert 0 == state["billed"]
    assert [["query"]] == [fault["on"] for fault in state["faults"]]


async def test_a_fault_is_switched_on_and_off(control: Control, emulator: Emulator, http: ClientSession) -> None:
    """A fault is applied as often as it says, and each can be removed."""
    status, fault = await control("POST", "/faults", fault="broken-500", on="submit", provider="nexusflow", times=2)
    first = await submit(emulator, http)
    listed = await control("GET", "/faults")
    removed = await control("DELETE", f"/faults/{fault['id']}")

    assert (201, 500) == (status, first)
    assert [1] == [row["applied"] for row in listed[1]]
    assert (204, None) == removed
    assert 202 == await submit(emulator, http)
    assert (200, []) == await control("GET", "/faults")


async def test_all_faults_are_switched_off_at_once(control: Control, emulator: Emulator, http: ClientSession) -> None:
    """Those switched on in Python are among them."""
    emulator.inject("broken-500", times=None)
    emulator.inject("html-403", times=None)

    assert (204, None) == await control("DELETE", "/faults")
    assert 202 == await submit(emulator, http)


async def test_what_was_billed_and_received_is_reported(
    control: Control, emulator: Emulator, http: ClientSession
) -> None:
    """The log has operation, task, status and fault of each request, and no key."""
    await submit(emulator, http)
    emulator.inject("html-403", on="submit")
    await submit(emulator, http)

    billed = await control("GET", "/billed")
    _, received = await control("GET", "/requests?operation=submit&provider=nexusflow")

    assert (200, {"total": 1, "providers": {**dict.fromkeys(emulator.providers, 0), "nexusflow": 1}}) == billed
    assert [202, 403] == [row["status"] for row in received]
    assert received[0]["task_id"].startswith("task_")
    assert "challenge page" in received[1]["fault"]
    assert "sk-any" not in repr(received)


async def test_a_scenario_is_set(control: Control, emulator: Emulator, http: ClientSession) -> None:
    """The next tasks go as listed, later ones by chance."""
    scripted = [{"queue": 0, "run": 0, "failure": "TIMEOUT"}, {"queue": 0, "run": 0}]

    status, _ = await control("PUT", "/scenario", tasks=scripted, stuck=1.0, queue=[0, 0])
    for _ in range(3):
        await submit(emulator, http)

    assert 204 == status
    assert ["failed", "succeeded", "running"] == await statuses(emulator, http)


async def test_reset_forgets_everything(control: Control, emulator: Emulator, http: ClientSession) -> None:
    """Tasks, faults, counts, requests and scenarios are as in the beginning."""
    before = emulator.scenario
    await control("PUT", "/scenario", stuck=1.0)
    await control("PUT", "/callbacks", loss=1.0)
    await submit(emulator, http)
    await control("POST", "/faults", fault="broken-500", times=None)

    assert (204, None) == await control("POST", "/reset")

    assert [] == await statuses(emulator, http)
    assert (0, 1, 1) == (emulator.billed(), emulator.calls("list"), len(emulator.requests))
    assert before is emulator.scenario
    assert 0.0 == emulator.callbacks.loss
    assert () == emulator.faults


@pytest.mark.parametrize(
    ("method", "path", "content", "problem"),
    [
        ("POST", "/faults", {"fault": "no-such-fault"}, "there is no fault"),
        ("POST", "/faults", {"fault": "broken-500", "on": "refund"}, "a fault is applied to"),
        ("POST", "/faults", {"fault": "broken-500", "often": 2}, "often"),
        ("POST", "/faults", {}, "JSON object"),
        ("PUT", "/scenario", {"failures": {"BAD_LUCK": 1}}, "BAD_LUCK"),
        ("PUT", "/scenario", {"stuck": 2}, "stuck"),
        ("PUT", "/callbacks", {"loss": 2}, "shares"),
    ],
)
async def test_a_wrong_body_is_a_400_that_says_why(
    control: Control, method: str, path: str, content: dict[str, Any], problem: str
) -> None:
    """The error names the field or the value."""
    status, body = await control(method, path, **content)

    assert 400 == status
    assert problem in body["error"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/no-such-path"), ("DELETE", "/faults/77"), ("POST", "/faults/x/release")]
)
async def test_an_unknown_path_or_fault_is_a_404(control: Control, method: str, path: str) -> None:
    """It is answered in JSON like every error."""
    status, body = await control(method, path)

    assert 404 == status
    assert body["error"]


async def test_a_web_page_of_another_origin_is_refused(control: Control, emulator: Emulator) -> None:
    """A page in a browser on this machine cannot control the emulator."""
    status, _ = await control("POST", "/reset", headers={"Origin": "https://evil.example"})
    own, _ = await control("POST", "/reset", headers={"Origin": emulator.address})

    assert (403, 204) == (status, own)


async def test_deliveries_of_webhooks_are_reported(control: Control) -> None:
    """Each attempt is a row."""
    assert (200, []) == await control("GET", "/deliveries")
