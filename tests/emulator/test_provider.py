"""An emulated provider as time goes by, without network or clock: messages go in with the time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from happyhorse_async.emulation import FetchCall, ProviderLimits, RateLimit, SubmitCall
from happyhorse_async.emulator import Scenario, SimulatedTask
from happyhorse_async.emulator.provider import EmulatedProvider, Keys
from happyhorse_async.emulator.signed_urls import SignedUrls
from happyhorse_async.messages import HttpRequest, HttpResponse
from happyhorse_async.registry import find_emulated_api

HOUR = 3600.0
START = 1_780_000_000.0

SUBMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "dashscope": (
        "/api/v1/services/aigc/video-generation/video-synthesis",
        {"model": "happyhorse-1.1-t2v", "input": {"prompt": "a kite"}},
    ),
    "hiapi": ("/v1/tasks", {"model": "happyhorse-1-0", "input": {"prompt": "a kite"}}),
    "imini": ("/imini/router/v1/videos/generate", {"model": "dashscope/happyhorse-1.0", "prompt": "a kite"}),
    "nexusflow": ("/v1/tasks", {"model": "happyhorse-1.0-t2v", "prompt": "a kite"}),
}
TASKS = {
    "dashscope": "/api/v1/tasks/",
    "hiapi": "/v1/tasks/",
    "imini": "/imini/router/v1/videos/tasks/",
    "nexusflow": "/v1/tasks/",
}
IDS: dict[str, Callable[[Any], str]] = {
    "dashscope": lambda answer: str(answer["output"]["task_id"]),
    "hiapi": lambda answer: str(answer["data"]["taskId"]),
    "imini": lambda answer: str(answer["task_id"]),
    "nexusflow": lambda answer: str(answer["id"]),
}


class Ask(Protocol):
    def __call__(self, method: str, path: str, after: float, content: Any = None, **headers: str) -> HttpResponse: ...


def provider_asked(name: str, **settings: Any) -> Ask:
    """Return a function that sends a message to a provider, so many seconds after the start."""
    scenario = settings.pop("scenario", Scenario(choose=lambda request, number: SimulatedTask(queue=10, run=100)))
    provider = EmulatedProvider(find_emulated_api(name), scenario=scenario, links=SignedUrls(b"secret"), **settings)

    def ask(method: str, path: str, after: float, content: Any = None, **headers: str) -> HttpResponse:
        message = HttpRequest(
            method=method,
            url=f"http://host{path}",
            headers={"authorization": "Bearer sk-any", "x-dashscope-async": "enable", **headers},
            body=None if content is None else json.dumps(content).encode(),
        )
        return provider.handle(message, now=START + after, origin="http://host")

    return ask


def submit(ask: Ask, name: str, after: float = 0.0, **headers: str) -> str:
    path, content = SUBMITS[name]
    return IDS[name](json.loads(ask("POST", path, after, content, **headers).body))


def query(ask: Ask, name: str, task_id: str, after: float) -> Any:
    return json.loads(ask("GET", TASKS[name] + task_id, after).body)


def status_in(answer: Any) -> str:
    task = answer.get("output") if "task_status" in (answer.get("output") or {}) else answer.get("data", answer)
    return str(task.get("task_status") or task["status"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dashscope", ["PENDING", "PENDING", "RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"]),
        ("hiapi", ["queued", "queued", "handling", "handling", "archiving", "success"]),
        ("imini", ["queued", "queued", "processing", "processing", "processing", "succeeded"]),
        ("nexusflow", ["pending", "pending", "running", "running", "running", "succeeded"]),
    ],
)
def test_a_task_is_pending_then_running_then_succeeded(name: str, words: list[str]) -> None:
    """A task of 10 + 100 seconds shows each status in time, with HiAPI's archiving at the end."""
    ask = provider_asked(name)
    task_id = submit(ask, name)

    seen = [status_in(query(ask, name, task_id, after)) for after in (0, 9.9, 10, 104, 106, 110)]

    assert words == seen


@pytest.mark.parametrize("name", SUBMITS)
def test_speed_divides_every_duration(name: str) -> None:
    """At a speed of 100 a task of 110 seconds ends after 1.1 s, and expires after 864 s."""
    ask = provider_asked(name, speed=100)
    task_id = submit(ask, name)

    before, ended, known = (status_in(query(ask, name, task_id, after)) for after in (1.09, 1.1, 863.9))
    forgotten = ask("GET", TASKS[name] + task_id, 864.0).body.decode()

    assert before.lower() in ("running", "archiving", "processing")
    assert ended.lower() in ("succeeded", "success")
    assert ended == known
    assert ended not in forgotten


def test_dashscope_has_the_times_of_submit_begin_and_end() -> None:
    """They are in UTC+8."""
    ask = provider_asked("dashscope")
    task_id = submit(ask, "dashscope")

    output = query(ask, "dashscope", task_id, 200)["output"]

    assert "2026-05-29 04:26:40.000" == output["submit_time"]
    assert "2026-05-29 04:26:50.000" == output["scheduled_time"]
    assert "2026-05-29 04:28:30.000" == output["end_time"]


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("dashscope", 200, "UNKNOWN"),
        ("hiapi", 404, "404"),
        ("imini", 404, "NOT_FOUND"),
        ("nexusflow", 404, "not_found"),
    ],
)
def test_a_task_expires_after_a_day(name: str, status: int, code: str) -> None:
    """From 24 hours after its submit it is unknown, even if it is still running."""
    scenario = Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=0 if number == 1 else math.inf))
    ask = provider_asked(name, scenario=scenario)
    ids = [submit(ask, name), submit(ask, name)]

    known = [ask("GET", TASKS[name] + task_id, 24 * HOUR - 1) for task_id in ids]
    forgotten = [ask("GET", TASKS[name] + task_id, 24 * HOUR) for task_id in ids]

    assert all(task_id in response.body.decode() for task_id, response in zip(ids, known, strict=True))
    assert [200, 200] == [response.status for response in known]
    assert [status, status] == [response.status for response in forgotten]
    assert all(code in response.body.decode() for response in forgotten)


@pytest.mark.parametrize("name", ["dashscope", "hiapi", "nexusflow"])
def test_an_expired_task_is_not_listed(name: str) -> None:
    """It expires after a day there, too."""
    ask = provider_asked(name)
    old, young = submit(ask, name), submit(ask, name, after=HOUR)

    listed = ask("GET", TASKS[name].rstrip("/"), 24 * HOUR).body.decode()

    assert old not in listed
    assert young in listed


def test_an_idempotency_key_expires_with_its_task() -> None:
    """A day later the same key creates a new task."""
    ask = provider_asked("hiapi")

    ids = [submit(ask, "hiapi", after, **{"idempotency-key": "job"}) for after in (0, 23 * HOUR, 24 * HOUR)]

    assert ids[0] == ids[1] != ids[2]


def test_a_url_expires_a_day_after_the_end_of_its_task() -> None:
    """The Expires of a video's URL, and HiAPI's expireAt, are 24 hours after the end."""
    ask = provider_asked("hiapi")
    task_id = submit(ask, "hiapi")

    outputs = query(ask, "hiapi", task_id, 200)["data"]["output"]

    assert [START + 110 + 24 * HOUR] * 2 == [output["expireAt"] for output in outputs]
    assert all(f"Expires={START + 110 + 24 * HOUR:.0f}&" in output["url"] for output in outputs)


def test_a_video_is_deleted_when_its_url_has_expired() -> None:
    """The first submit after that deletes it."""
    scenario = Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=100))
    provider = EmulatedProvider(find_emulated_api("nexusflow"), scenario=scenario, links=SignedUrls(b"secret"))

    def ask(method: str, path: str, after: float) -> Any:
        body = json.dumps(SUBMITS["nexusflow"][1]).encode()
        headers = {"authorization": "Bearer sk-any"}
        message = HttpRequest(method=method, url=f"http://host{path}", headers=headers, body=body)
        return json.loads(provider.handle(message, now=START + after, origin="http://host").body)

    task_id = ask("POST", "/v1/tasks", 0)["id"]
    video_file = ask("GET", f"/v1/tasks/{task_id}", 100)["output"]["video_url"].partition(".mp4")[0].rpartition("/")[2]
    ask("POST", "/v1/tasks", 24 * HOUR + 99)
    kept = provider.media_spec(video_file)
    ask("POST", "/v1/tasks", 24 * HOUR + 100)

    assert kept is not None
    assert "a kite" == kept.prompt
    assert provider.media_spec(video_file) is None


def test_nexusflow_lists_what_the_last_query_saw() -> None:
    """A task without a query is listed as it was at its submit."""
    ask = provider_asked("nexusflow")
    task_id = submit(ask, "nexusflow")

    def listed(after: float) -> str:
        return str(json.loads(ask("GET", "/v1/tasks", after).body)["data"][0]["status"])

    unseen = listed(200)
    query(ask, "nexusflow", task_id, 50)
    seen_running = listed(200)
    query(ask, "nexusflow", task_id, 200)

    assert ("pending", "running", "succeeded") == (unseen, seen_running, listed(200))


def test_the_sixth_task_of_a_model_waits_for_the_first() -> None:
    """DashScope runs five tasks of a model at a time."""
    ask = provider_asked("dashscope", limits=ProviderLimits(running=5))
    ids = [submit(ask, "dashscope", after=number) for number in range(6)]

    at_50 = [status_in(query(ask, "dashscope", task_id, 50)) for task_id in ids]
    at_110 = [status_in(query(ask, "dashscope", task_id, 110)) for task_id in ids]

    assert ["RUNNING"] * 5 + ["PENDING"] == at_50
    assert ["SUCCEEDED"] + ["RUNNING"] * 5 == at_110


def test_a_cancellation_moves_waiting_tasks_up() -> None:
    """Tasks behind the canceled one begin earlier."""
    ask = provider_asked("dashscope", limits=ProviderLimits(running=1))
    ids = [submit(ask, "dashscope", after=0) for _ in range(3)]

    canceled = ask("POST", f"/api/v1/tasks/{ids[1]}/cancel", 50)

    assert 200 == canceled.status
    assert "CANCELED" == status_in(query(ask, "dashscope", ids[1], 111))
    assert "RUNNING" == status_in(query(ask, "dashscope", ids[2], 111))
    assert "SUCCEEDED" == status_in(query(ask, "dashscope", ids[2], 210))


def test_a_full_queue_is_a_429() -> None:
    """A task is refused if too many wait already."""
    ask = provider_asked("dashscope", limits=ProviderLimits(running=1, queued=2))
    path, content = SUBMITS["dashscope"]

    first = ask("POST", path, 0, content).status
    later = [ask("POST", path, 20, content) for _ in range(3)]

    assert (200, [200, 200, 429]) == (first, [response.status for response in later])
    assert "Throttling" == json.loads(later[2].body)["code"]


@pytest.mark.parametrize(
    ("name", "calls", "code", "wait"),
    [("dashscope", 20, "Throttling.RateQuota", None), ("hiapi", 60, "rate_limit_exceeded", "60")],
)
def test_the_published_rate_limits_are_enforced(name: str, calls: int, code: str, wait: str | None) -> None:
    """The next query after the allowed number is a 429."""
    ask = provider_asked(name, limits=find_emulated_api(name).limits)

    answers = [ask("GET", TASKS[name] + "x", 0) for _ in range(calls + 1)]

    assert {429} == {response.status for response in answers[calls:]}
    assert 429 not in {response.status for response in answers[:calls]}
    assert code in answers[-1].body.decode()
    assert wait == answers[-1].headers.get("retry-after")


def test_nexusflow_has_separate_limits_for_submits_and_polls() -> None:
    """The twenty-first submit of a minute is refused, and polls go on."""
    ask = provider_asked("nexusflow", limits=find_emulated_api("nexusflow").limits)
    path, content = SUBMITS["nexusflow"]

    submits = [ask("POST", path, 0, content) for _ in range(21)]
    poll = ask("GET", "/v1/tasks", 0)

    assert [202] * 20 + [429] == [response.status for response in submits]
    assert "rate_limit_exceeded" == json.loads(submits[-1].body)["error"]["code"]
    assert "60" == submits[-1].headers["retry-after"]
    assert 200 == poll.status


def test_dashscope_limits_the_submits_of_each_model() -> None:
    """Five submits a second for one model leave five for another."""
    ask = provider_asked("dashscope", limits=find_emulated_api("dashscope").limits)
    path, content = SUBMITS["dashscope"]

    new = [ask("POST", path, 0, content).status for _ in range(6)]
    old = [ask("POST", path, 0, {**content, "model": "happyhorse-1.0-t2v"}).status for _ in range(5)]

    assert [200] * 5 + [429] == new
    assert [200] * 5 == old


@pytest.mark.parametrize(("speed", "after"), [(1.0, 10.0), (4.0, 2.5)])
def test_a_rate_is_a_sliding_window(speed: float, after: float) -> None:
    """A refused call does not count; the next is accepted as soon as the first leaves the window."""
    rate = RateLimit(count=2, seconds=10, calls=(FetchCall,))
    ask = provider_asked("dashscope", limits=ProviderLimits(rates=(rate,)), speed=speed)

    moments = (0.0, 0.1, after - 0.01, after, after + 0.05, after + 0.1)
    answers = [ask("GET", "/api/v1/tasks/x", moment).status for moment in moments]

    assert [200, 200, 429, 200, 429, 200] == answers


def test_a_refused_submit_creates_no_task() -> None:
    """It is not listed."""
    ask = provider_asked(
        "dashscope", limits=ProviderLimits(rates=(RateLimit(count=1, seconds=10, calls=(SubmitCall,)),))
    )
    path, content = SUBMITS["dashscope"]

    statuses = [ask("POST", path, 0, content).status for _ in range(2)]

    assert [200, 429] == statuses
    assert 1 == json.loads(ask("GET", "/api/v1/tasks", 1).body)["total"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("dashscope", "InvalidApiKey"),
        ("hiapi", "permission_denied"),
        ("imini", "invalid or revoked"),
        ("nexusflow", "invalid_api_key"),
    ],
)
def test_a_wrong_key_is_refused(name: str, code: str) -> None:
    """With `api_key` the provider accepts that one only."""
    ask = provider_asked(name, keys=Keys("sk-right"))

    wrong = ask("GET", TASKS[name] + "x", 0)
    right = ask("GET", TASKS[name] + "x", 0, authorization="Bearer sk-right")

    assert 401 == wrong.status
    assert code in wrong.body.decode()
    assert 401 != right.status


def test_the_same_seed_gives_the_same_durations_and_other_ids() -> None:
    """An id never occurs twice."""
    scenario = Scenario()

    def run(seed: int) -> tuple[list[str], list[str]]:
        ask = provider_asked("dashscope", scenario=scenario, seed=seed)
        ids = [submit(ask, "dashscope") for _ in range(5)]
        return ids, [query(ask, "dashscope", task_id, 1000)["output"]["end_time"] for task_id in ids]

    (first_ids, first), (again_ids, again), (_, other) = run(1), run(1), run(2)

    assert first == again != other
    assert not set(first_ids) & set(again_ids)
