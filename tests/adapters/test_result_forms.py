"""Forms of an answer that a provider does not document, and that relays send all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.jobs.submit_errors import is_ambiguous
from happyhorse_async.registry import find_adapter

V = "https://r.example/v.mp4?Signature=s"
COVER = "https://r.example/c.jpg"


def _hiapi(status: str, extra: Mapping[str, Any]) -> object:
    return {"code": 200, "message": "success", "data": {"taskId": "t-1", "status": status, **extra}}


# How each provider wraps a task: its status, and what stands beside it.
WRAP: dict[str, Callable[[str, Mapping[str, Any]], object]] = {
    "dashscope": lambda status, extra: {"output": {"task_id": "t-1", "task_status": status, **extra}},
    "hiapi": _hiapi,
    "imini": lambda status, extra: {"task_id": "t-1", "status": status, **extra},
    "nexusflow": lambda status, extra: {"id": "t-1", "status": status, "model": "happyhorse-1.0-t2v", **extra},
}
OWN = {"dashscope": "SUCCEEDED", "hiapi": "success", "imini": "succeeded", "nexusflow": "succeeded"}


def fetch(provider: str, status: str, extra: Mapping[str, Any]) -> hh.Task:
    adapter = find_adapter(provider)
    account = adapter.account(provider="main", api_key="sk-any")
    body = json.dumps(WRAP[provider](status, extra)).encode()
    return adapter.decode_fetch(hh.HttpResponse(status=200, body=body), "t-1", account)


@pytest.mark.parametrize("provider", WRAP)
@pytest.mark.parametrize(
    "extra",
    [
        {"video_url": V},
        {"video_url": [V]},
        {"video_url": [None, V]},
        {"video_url": {"url": V}},
        {"video_url": None, "videos": [V]},
        {"videos": V},
        {"videos": {"url": V}},
        {"videos": [None, {"url": V}]},
        {"videos": [{"video_url": V}]},
        {"video": {"url": V}},
        {"results": [{"url": V}]},
        {"results": [V]},
        {"result": {"videos": [{"url": V}]}},
        {"output": V},
        {"output": {"url": V}},
        {"output": {"video_url": [V]}},
        {"output": {"videos": [V]}},
        {"output": {"data": {"video_url": V}}},
        {"output": [{"type": "first_frame", "url": COVER}, {"type": "video", "url": V}]},
        {"output": [COVER, V]},
        {"outputs": [V]},
        {"data": {"video_url": V}},
        {"results": [{"url": COVER}, None, 7, {"url": V}], "cover_url": COVER},
    ],
    ids=json.dumps,
)
def test_a_result_is_read_in_any_form(provider: str, extra: Mapping[str, Any]) -> None:
    """A list, an object or a text in place of the documented form is read, alike in all adapters."""
    task = fetch(provider, OWN[provider], extra)

    assert (hh.TaskStatus.SUCCEEDED, (V,)) == (task.status, tuple(video.url for video in task.videos))


@pytest.mark.parametrize("provider", WRAP)
@pytest.mark.parametrize(
    "extra",
    [
        {"output": [{"type": "audio", "url": "https://r.example/b"}]},
        {"output": [{"type": "first_frame", "url": COVER}]},
        {"videos": [{"type": "cover", "url": "https://r.example/x"}]},
        {"results": [{"url": COVER}]},
        {"cover_url": COVER},
        {},
    ],
    ids=json.dumps,
)
def test_a_cover_or_a_sound_is_not_the_video(provider: str, extra: Mapping[str, Any]) -> None:
    """A success with nothing but pictures or sounds has no video."""
    assert () == fetch(provider, OWN[provider], extra).videos


@pytest.mark.parametrize("provider", WRAP)
@pytest.mark.parametrize("word", ["completed", "COMPLETED", "SUCCESS", "finished", " Succeeded ", "done", "Complete"])
def test_a_synonym_of_success_needs_a_video(provider: str, word: str) -> None:
    """Another vendor's word with a video beside it is a success; without one, at most the provider's own word is."""
    task = fetch(provider, word, {"video_url": V})

    assert (hh.TaskStatus.SUCCEEDED, word, V) == (task.status, task.raw_status, task.video_url)
    if word.strip().lower() not in ("success", "succeeded"):
        assert hh.TaskStatus.UNKNOWN is fetch(provider, word, {}).status


@pytest.mark.parametrize("provider", WRAP)
@pytest.mark.parametrize("word", ["failure", "FAILED", "fail", "Failed "])
def test_a_synonym_of_failure_is_one(provider: str, word: str) -> None:
    """A word that can mean nothing else ends the task."""
    assert hh.TaskStatus.FAILED is fetch(provider, word, {}).status


@pytest.mark.parametrize("provider", WRAP)
@pytest.mark.parametrize("word", ["polishing", "in review", "42", "SUSPENDED"])
def test_an_unknown_word_is_not_an_end(provider: str, word: str) -> None:
    """A word that is neither documented nor a synonym is UNKNOWN, with a video or without."""
    for extra in ({}, {"video_url": V}):
        task = fetch(provider, word, extra)
        assert (hh.TaskStatus.UNKNOWN, word, ()) == (task.status, task.raw_status, task.videos)


def test_the_source_of_an_edit_is_not_its_result() -> None:
    """nexusflow calls the source of an edit `video_url`, too; an echo of it beside the status is not a result."""
    body = {"model": "happyhorse-1.0-video-edit", "video_url": "https://source.example/in.mp4"}

    assert () == fetch("nexusflow", "succeeded", body).videos
    assert V == fetch("nexusflow", "succeeded", {**body, "output": {"video_url": V}}).video_url


def test_a_success_in_the_answer_to_a_submit_is_polled() -> None:
    """nexusflow may answer a submit with `succeeded` and no output; it has not ended before its video is there."""
    adapter = find_adapter("nexusflow")
    account = adapter.account(provider="main", api_key="sk-any")
    for output in ({}, {"output": None}, {"output": {"video_url": None}}):
        body = json.dumps({"id": "t-1", "status": "succeeded", **output}).encode()
        task = adapter.decode_submit(hh.HttpResponse(status=202, body=body), account)
        assert (hh.TaskStatus.RUNNING, "succeeded") == (task.status, task.raw_status)
    body = json.dumps({"id": "t-1", "status": "succeeded", "output": {"video_url": V}}).encode()

    assert V == adapter.decode_submit(hh.HttpResponse(status=202, body=body), account).video_url


@pytest.mark.parametrize("provider", WRAP)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
@pytest.mark.parametrize("body", [b"<title>Just a moment...</title>", b"", b'{"message": "Unauthorized"}', b"null"])
def test_a_page_of_the_way_is_not_the_providers_word(provider: str, status: int, body: bytes) -> None:
    """On every operation it is a TransportError; a submit was refused, and nothing is said about the key."""
    adapter = find_adapter(provider)
    account = adapter.account(provider="main", api_key="sk-any")
    response = hh.HttpResponse(status=status, headers={"content-type": "text/html"}, body=body)
    calls: list[Callable[[], object]] = [
        lambda: adapter.decode_submit(response, account),
        lambda: adapter.decode_fetch(response, "t-1", account),
    ]
    if adapter.capabilities.can_list:
        calls.append(lambda: adapter.decode_list(response, hh.PageRequest(), account))
    if adapter.capabilities.can_cancel:
        calls.append(lambda: adapter.decode_cancel(response, account))

    for call in calls:
        with pytest.raises(hh.TransportError) as caught:
            call()
        assert status == caught.value.status_code
        assert not is_ambiguous(caught.value)


@pytest.mark.parametrize("provider", ["hiapi", "nexusflow"])
def test_what_is_left_is_read_without_a_reset(provider: str) -> None:
    """The limits page of nexusflow promises only what is left; the window is a minute there and at HiAPI."""
    adapter = find_adapter(provider)
    left = adapter.rate_limit(hh.HttpResponse(status=200, headers={"x-ratelimit-remaining": "3"}))
    none = adapter.rate_limit(hh.HttpResponse(status=429, headers={"x-ratelimit-remaining": "0", "retry-after": "7"}))

    assert left is not None
    assert (3, 3, 60.0) == (left.remaining, left.limit, left.reset_after)
    assert none is not None
    assert (0, 7.0) == (none.remaining, none.reset_after)
