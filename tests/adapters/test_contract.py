"""
The shipped adapters, each with its emulated API, under the suite that third-party adapters inherit, too.

A provider that is not shipped passes it as well, without being named anywhere else; with one mistake in it, it fails.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.adapter_kit import from_epoch
from happyhorse_async.registry import ADAPTERS, find_adapter, find_emulated_api, providers_that_can
from happyhorse_async.testing import AdapterContract

from .toy import EmulatedToy, ToyAdapter


def _suite(name: str) -> type[AdapterContract]:
    members = {"adapter": find_adapter(name), "emulated_api": find_emulated_api(name), "__module__": __name__}
    return type(f"Test_{name}", (AdapterContract,), members)


# Every adapter of this project, as registered. Others may be installed beside them.
for _point in distribution("happyhorse-async").entry_points.select(group=ADAPTERS):
    globals()[f"Test_{_point.name}"] = _suite(_point.name)


class TestToy(AdapterContract):
    adapter = ToyAdapter()
    emulated_api = EmulatedToy()
    registered = False


async def test_a_new_provider_needs_nothing_but_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed under two entry points, it is found, offered as an alternative, emulated, and makes a video."""
    metadata = tmp_path / "toy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[happyhorse_async.adapters]\ntoy = {ToyAdapter.__module__}:ToyAdapter\n"
        f"[happyhorse_async.emulated_apis]\ntoy = {EmulatedToy.__module__}:EmulatedToy\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    request = hh.ReferenceToVideo("a kite", ["https://media.example.org/a.png"], resolution="480P", duration=2)
    async with (
        hh.Emulator(speed=6000) as emulator,
        hh.Client("toy", api_key="any", base_url=emulator.url("toy"), poll=hh.PollSchedule(interval=0.01)) as client,
    ):
        task = await client.generate(request)
        path = await client.download(task, tmp_path)

    assert "toy" in providers_that_can(request)
    assert hh.TaskRef("toy", task.id) == task.ref
    assert path.read_bytes()[4:8] == b"ftyp"


MODEL = ToyAdapter.capabilities.models[0]
COUNTER = itertools.count()


class Mistaken(ToyAdapter):
    """Makes one mistake: in what it writes, in what it is sent, or in what it understands."""

    def __init__(
        self,
        *,
        message: Callable[[hh.HttpRequest, hh.Account], hh.HttpRequest] = lambda message, _: message,
        response: Callable[[hh.HttpResponse], hh.HttpResponse] = lambda response: response,
        task: Callable[[hh.Task], hh.Task] = lambda task: task,
    ) -> None:
        self.spoil_message, self.spoil_response, self.spoil_task = message, response, task

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        return self.spoil_message(super().encode_submit(submission, account), account)

    def encode_fetch(self, task_id: str, account: hh.Account) -> hh.HttpRequest:
        return self.spoil_message(super().encode_fetch(task_id, account), account)

    def read(self, response: hh.HttpResponse, account: hh.Account) -> Mapping[str, Any]:
        return super().read(self.spoil_response(response), account)

    def take(self, answer: Mapping[str, Any], account: hh.Account) -> hh.Task:
        return self.spoil_task(super().take(answer, account))


def with_body(old: bytes, new: bytes) -> Callable[[hh.HttpRequest, hh.Account], hh.HttpRequest]:
    return lambda message, _: evolve(message, body=(message.body or b"").replace(old, new, 1))


def parsed(response: hh.HttpResponse) -> hh.HttpResponse:
    json.loads(response.body)
    return response


def ended(task: hh.Task) -> hh.Task:
    return evolve(task, status=hh.TaskStatus.FAILED) if task.status is hh.TaskStatus.UNKNOWN else task


def displaced(task: hh.Task) -> hh.Task:
    return evolve(task, created_at=task.created_at + timedelta(hours=8)) if task.created_at else task


def echoed(task: hh.Task) -> hh.Task:
    return evolve(task, error=evolve(task.error, message=str(task.raw["words"]))) if task.error else task


Mistake: TypeAlias = tuple[Mistaken, Callable[[AdapterContract], None]]

MISTAKES: dict[str, Mistake] = {
    "writes the same request differently": (
        Mistaken(message=lambda message, _: evolve(message, headers={**message.headers, "Count": f"{next(COUNTER)}"})),
        lambda suite: suite.test_a_request_is_encoded_the_same_way_each_time(MODEL),
    ),
    "puts the key into the URL": (
        Mistaken(message=lambda message, account: evolve(message, url=f"{message.url}?key={account.api_key}")),
        lambda suite: suite.test_the_key_stands_in_the_headers_alone(MODEL),
    ),
    "does not escape an id": (
        Mistaken(message=lambda message, _: evolve(message, url=unquote(message.url))),
        lambda suite: suite.test_a_task_id_stays_in_its_place("a/b"),
    ),
    "misspells a field": (
        Mistaken(message=with_body(b'"dice"', b'"seed"')),
        lambda suite: suite.test_the_provider_understands_what_was_asked(MODEL),
    ),
    "sends what was not asked for": (
        Mistaken(message=with_body(b"{", b'{"note":null,')),
        lambda suite: suite.test_what_is_not_requested_is_not_sent(MODEL),
    ),
    "takes every answer for JSON": (
        Mistaken(response=parsed),
        lambda suite: suite.test_an_unreadable_success_is_no_refusal("fetch", 200),
    ),
    "takes a bad gateway for a refusal": (
        Mistaken(response=lambda response: evolve(response, status=400)),
        lambda suite: suite.test_a_5xx_does_not_claim_a_refusal(502, b""),
    ),
    "does not hear how long to wait": (
        Mistaken(response=lambda response: evolve(response, headers={})),
        lambda suite: suite.test_retry_after_is_read("fetch", "seconds", 429),
    ),
    "needs what only adorns": (
        Mistaken(task=lambda task: evolve(task, created_at=from_epoch(task.raw["since"]))),
        lambda suite: suite.test_metadata_costs_no_video(),
    ),
    "takes an unknown word for an end": (Mistaken(task=ended), lambda suite: suite.test_an_unknown_word_is_kept()),
    "lets junk end a task": (Mistaken(task=ended), lambda suite: suite.test_junk_does_not_end_a_task()),
    "takes a time for another zone's": (
        Mistaken(task=displaced),
        lambda suite: suite.test_a_status_request_finds_the_status(MODEL, hh.TaskStatus.RUNNING),
    ),
    "repeats the key": (Mistaken(task=echoed), lambda suite: suite.test_a_failure_does_not_show_the_key()),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_suite_finds_what_is_wrong(mistake: Mistake) -> None:
    """Each of these mistakes makes the test fail that is there for it, which passes without the mistake."""
    adapter, run = mistake
    suite = type("Suite", (TestToy,), {"adapter": adapter})
    run(TestToy())

    with pytest.raises(AssertionError):
        run(suite())
