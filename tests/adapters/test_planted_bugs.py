"""The contract suite finds a broken adapter without an emulated API, by sample answers alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async import adapter_kit as kit
from happyhorse_async.testing import AdapterContract

from . import pegasus
from .pegasus import PegasusAdapter, WireGeneration

MADE = "2026-11-21T10:00:00Z"
WAITING = {"id": "g-1", "phase": "waiting", "percent": 0, "made": MADE}
FLYING = {"id": "g-1", "phase": "flying", "percent": 40, "made": MADE, "files": []}
LANDED = {
    "id": "g-1",
    "phase": "landed",
    "percent": 100,
    "made": MADE,
    "files": [{"mime": "image/png", "url": "https://f.example/c"}, {"mime": "video/mp4", "url": "https://f.example/v"}],
}
CRASHED = {
    "id": "g-2",
    "phase": "crashed",
    "made": MADE,
    "problem": {"kind": "input.forbidden", "detail": "Mind your words."},
}


def refusal(status: int, kind: str) -> hh.HttpResponse:
    return hh.HttpResponse(status=status, body=f'{{"problem": {{"kind": "{kind}", "detail": "No."}}}}'.encode())


class TestPegasus(AdapterContract):
    adapter: ClassVar[hh.Adapter] = PegasusAdapter()
    registered = False
    samples: ClassVar[Mapping[str, Sequence[Any]]] = {
        "submit": [{"generation": WAITING}],
        "fetch": [{"generation": each} for each in (WAITING, FLYING, LANDED, CRASHED)],
        "list": [{"generations": [FLYING, LANDED], "after": "c-2"}, {"generations": [CRASHED], "after": None}],
        "cancel": [hh.HttpResponse(status=204)],
    }
    refusal_samples: ClassVar[Mapping[kit.ErrorClass, hh.HttpResponse]] = {
        hh.AuthenticationError: refusal(401, "key.unknown"),
        hh.InvalidRequestError: refusal(400, "input.bad"),
        hh.ContentRejectedError: refusal(400, "input.forbidden"),
        hh.QuotaExceededError: refusal(403, "stable.empty"),
        hh.TaskNotFoundError: refusal(404, "flight.unknown"),
        hh.RateLimitError: refusal(429, "too.fast"),
        hh.ProviderError: refusal(503, "stable.burning"),
    }


class Overshooting(PegasusAdapter):
    """Reports 250 %."""

    def read_generation(self, value: Any, account: hh.Account) -> hh.Task:
        task = super().read_generation(value, account)
        return evolve(task, progress=value.get("percent"))


class Bare(PegasusAdapter):
    """Makes the ref itself, so that an empty id is a bare ValueError."""

    def read_generation(self, value: Any, account: hh.Account) -> hh.Task:
        wire = kit.structure(value, WireGeneration)
        task = super().read_generation({**value, "id": "g-1"}, account)
        return evolve(task, ref=hh.TaskRef(account.provider, wire.id))


class Indiscreet(PegasusAdapter):
    """Repeats what the provider says about the key."""

    def read_generation(self, value: Any, account: hh.Account) -> hh.Task:
        task = super().read_generation(value, account)
        words = value.get("problem", {}).get("detail", "") if isinstance(value.get("problem"), dict) else ""
        return evolve(task, error=hh.TaskFailure(message=str(words))) if task.error else task


class Careless(PegasusAdapter):
    """Puts the key into the URL."""

    def call(self, method: str, path: str, account: hh.Account, *, body: Any = None) -> hh.HttpRequest:
        message = super().call(method, path, account, body=body)
        return evolve(message, url=f"{message.url}{'&' if '?' in message.url else '?'}key={account.api_key}")


class Bearing(PegasusAdapter):
    """Sends the key in a second header as well."""

    def call(self, method: str, path: str, account: hh.Account, *, body: Any = None) -> hh.HttpRequest:
        message = super().call(method, path, account, body=body)
        return evolve(message, headers={**message.headers, "Authorization": f"Bearer {account.api_key}"})


class Stuck(PegasusAdapter):
    """Forgets the cursor."""

    def encode_list(self, page: hh.PageRequest, account: hh.Account) -> hh.HttpRequest:
        return super().encode_list(evolve(page, cursor=None), account)


class Endless(PegasusAdapter):
    """Always has a next page."""

    def decode_list(self, response: hh.HttpResponse, page: hh.PageRequest, account: hh.Account) -> hh.TaskPage:
        return evolve(super().decode_list(response, page, account), next=page.next("c"))


class Wordy(PegasusAdapter):
    """Wants JSON for an answer to a cancellation."""

    def decode_cancel(self, response: hh.HttpResponse, account: hh.Account) -> bool:
        return bool(self.read(response, account))


class Credulous(PegasusAdapter):
    """Takes the page of a proxy for the provider's word."""

    def read(self, response: hh.HttpResponse, account: hh.Account) -> Any:
        if response.ok:
            return super().read(response, account)
        cls = kit.class_by_status(response.status)
        raise kit.error_from_response(cls, response=response, account=account)


class Doubtful(PegasusAdapter):
    """Leaves open whether a submit that was answered with a 4xx was accepted."""

    def decode_submit(self, response: hh.HttpResponse, account: hh.Account) -> hh.Task:
        if not response.ok:
            raise hh.InvalidResponseError("no", provider=account.provider, status_code=response.status)
        return super().decode_submit(response, account)


class Confused(PegasusAdapter):
    """Sends every request to the model that makes videos from text."""

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        return super().encode_submit(evolve(submission, spec=self.capabilities.models[0]), account)


class Blind(PegasusAdapter):
    """Drops the picture."""

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        message = super().encode_submit(submission, account)
        fields = json.loads(message.body or b"{}")
        fields.pop("frame", None)
        return evolve(message, body=json.dumps(fields).encode())


class Dropping(PegasusAdapter):
    """Drops the resolution."""

    def encode_submit(self, submission: hh.Submission, account: hh.Account) -> hh.HttpRequest:
        request = evolve(submission.request, resolution=None)
        return super().encode_submit(evolve(submission, request=request), account)


class Strict(PegasusAdapter):
    """Loses a paid video to a progress that cannot be read."""

    def read_generation(self, value: Any, account: hh.Account) -> hh.Task:
        task = super().read_generation(value, account)
        if not isinstance(value.get("percent", 0), int | None):
            raise hh.InvalidResponseError("no", path="percent")
        return task


class Superficial(PegasusAdapter):
    """Takes the first file for the video, which is the cover."""

    def read_generation(self, value: Any, account: hh.Account) -> hh.Task:
        task = super().read_generation(value, account)
        return evolve(task, videos=(hh.Video(url=value["files"][0]["url"]),)) if task.videos else task


class Hasty(PegasusAdapter):
    """Takes an unknown word for the end."""

    def read_generation(self, value: Any, account: hh.Account) -> hh.Task:
        task = super().read_generation(value, account)
        return evolve(task, status=hh.TaskStatus.FAILED) if task.status is hh.TaskStatus.UNKNOWN else task


class Uniform(PegasusAdapter):
    """Does not know its own error kinds."""

    def read(self, response: hh.HttpResponse, account: hh.Account) -> Any:
        try:
            return super().read(response, account)
        except hh.ContentRejectedError as error:
            raise kit.error_from_response(
                hh.InvalidRequestError, error.message, response=response, account=account
            ) from None


T2V, I2V = PegasusAdapter.capabilities.models

# Each bug, and the tests that have to find it.
BUGS: dict[type[PegasusAdapter], Callable[[AdapterContract], None]] = {
    Overshooting: lambda suite: suite.test_junk_in_any_place_is_survived("fetch"),
    Bare: lambda suite: suite.test_junk_in_any_place_is_survived("submit"),
    Indiscreet: lambda suite: suite.test_a_failure_does_not_show_the_key(),
    Careless: lambda suite: suite.test_the_key_stands_in_the_headers_alone(T2V),
    Bearing: lambda suite: suite.test_the_key_stands_in_the_headers_alone(T2V),
    Stuck: lambda suite: suite.test_a_list_ends(),
    Endless: lambda suite: suite.test_a_list_ends(),
    Wordy: lambda suite: suite.test_an_accepted_cancellation_is_understood(),
    Credulous: lambda suite: suite.test_a_page_of_something_in_between_is_not_the_providers_word("fetch", 401),
    Doubtful: lambda suite: suite.test_a_4xx_is_a_certain_refusal(),
    Confused: lambda suite: suite.test_what_is_requested_is_sent(I2V),
    Blind: lambda suite: suite.test_what_is_requested_is_sent(I2V),
    Dropping: lambda suite: suite.test_each_choice_makes_a_difference(T2V),
    Strict: lambda suite: suite.test_metadata_costs_no_video(),
    Superficial: lambda suite: suite.test_the_answers_about_a_task_are_understood(),
    Hasty: lambda suite: suite.test_an_unknown_word_is_kept(),
    Uniform: lambda suite: suite.test_the_samples_of_refusals_have_their_meaning("submit"),
}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_suite_finds_a_planted_bug(bug: type[PegasusAdapter]) -> None:
    """The test that is there for a bug passes for the adapter without it, and fails for the one with it."""
    suite = type("Suite", (TestPegasus,), {"adapter": bug()})
    BUGS[bug](TestPegasus())

    with pytest.raises((AssertionError, hh.HappyHorseError)):
        BUGS[bug](suite())


def test_a_suite_without_answers_fails() -> None:
    """An adapter that is tried without answers of its provider does not pass unnoticed."""
    suite = type("Suite", (TestPegasus,), {"samples": {}})

    with pytest.raises(AssertionError, match="give samples"):
        suite().test_there_are_answers_to_try("fetch")


def test_the_adapter_is_short() -> None:
    """An adapter for a provider of this kind needs fewer than 150 lines."""
    assert len(Path(str(pegasus.__file__)).read_text("utf-8").splitlines()) < 150
