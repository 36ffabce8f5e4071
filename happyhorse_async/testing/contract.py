"""The contract suite for adapters."""

# ruff: noqa: SIM300 - the expected value is on the left of ==

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest
from attrs import evolve

from ..adapter import Account, UploadFile, UploadPolicy
from ..capabilities import VERSIONS, MediaForm, ModelSpec
from ..errors import (
    CallbackRejectedError,
    ConfigurationError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    UnsupportedFeatureError,
)
from ..messages import HttpRequest
from ..registry import find_adapter, find_emulated_api
from ..request import Mode, VideoRequest
from ..task import Task
from .malformed import HOSTILE_BODIES, json_positions
from .replies import AnswerContract
from .sample_answers import SampleContract
from .samples import (
    ANY_MODELS,
    CALLBACK_URL,
    JOB_ID,
    KEY,
    PROVIDER,
    choices,
    maximal,
    minimal,
    missing_versions,
    right,
    wrong,
)
from .subject import PAGE

_NAME = re.compile(r"[a-z0-9_-]+")
_TIER = re.compile(r"[1-9][0-9]*P")
_RATIO = re.compile(r"[1-9][0-9]*:[1-9][0-9]*")
# Characters that would end a path or begin another part of a URL if they were not escaped.
_STRANGE_IDS = ("a/b", "../b", "a?b=c", "a#b", "a b", "a%2Fb", "ä", "a&b", "a:b")


class AdapterContract(AnswerContract, SampleContract):
    """
    The suite. Inherit it in a test module, set the adapter and sample responses of its provider, and run pytest:

    ```python
    from happyhorse_async.testing import AdapterContract


    class TestMine(AdapterContract):
        adapter = MyAdapter()
        samples = {"submit": [...], "fetch": [...]}
        refusal_samples = {hh.AuthenticationError: hh.HttpResponse(status=401, body=b"...")}
    ```

    With an `emulated_api`, the provider's server side, no samples are needed. `registered = False` is for an adapter
    that is not installed under an entry point, `options` for an adapter that requires some.
    """

    def test_the_adapter_says_who_it_is(self) -> None:
        """Name, title, documentation and the environment variable of the key are set."""
        adapter = self.adapter

        assert _NAME.fullmatch(adapter.name), adapter.name
        assert adapter.title.strip()
        assert adapter.documentation.startswith("https://")
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*", adapter.api_key_env), adapter.api_key_env

    def test_the_entry_points_lead_to_it(self) -> None:
        """The registry finds this adapter, and its emulated API, under the adapter's name."""
        if not self.registered:
            pytest.skip("the adapter is not registered")

        assert type(self.adapter) is type(find_adapter(self.adapter.name))
        if self.emulated_api is not None:
            assert type(self.emulated_api) is type(find_emulated_api(self.adapter.name))

    def test_polling_figures_are_set(self) -> None:
        """The poll interval and the lifetime of a task are set."""
        assert self.adapter.poll.interval is not None
        assert 0 < self.adapter.task_ttl

    def test_models_are_told_apart(self) -> None:
        """No mode repeats a model, and the newest version of each mode that is not opt-in comes first."""
        models = self.adapter.capabilities.models
        names = [(spec.mode, spec.model) for spec in models]

        assert models
        assert len(names) == len(set(names))
        for mode in Mode:
            versions = [spec.version for spec in models if spec.mode is mode and not spec.opt_in]
            assert versions == sorted(versions, key=VERSIONS.index)

    def test_a_model_is_sane(self, spec: ModelSpec) -> None:
        """A model has an id and at least one resolution, and all its values are valid."""
        assert spec.model.strip() == spec.model != ""
        assert spec.resolutions
        assert all(_TIER.fullmatch(tier) for tier in spec.resolutions), spec.resolutions
        assert all(_RATIO.fullmatch(ratio) for ratio in spec.ratios), spec.ratios
        assert not spec.durations or spec.durations[0] >= 1
        assert spec.prompt_limit is None or spec.prompt_limit > 0
        assert spec.image_forms
        assert spec.video_forms

    def test_a_model_takes_the_media_of_its_mode(self, spec: ModelSpec) -> None:
        """Text to video accepts no image, image to video one, reference to video one or more."""
        expected = {Mode.T2V: range(1), Mode.I2V: range(1, 2)}.get(spec.mode, spec.images)

        assert expected == spec.images
        assert len(spec.images) > 0
        assert spec.images[0] >= (1 if spec.mode is Mode.R2V else 0)

    def test_a_model_that_takes_local_files_says_what_it_documents(self, spec: ModelSpec) -> None:
        """A model that accepts local images or videos has limits to check them against, and the form of an upload."""
        takes_images = spec.inline_limit is not None or spec.upload_form is not None
        if takes_images and spec.images[-1] > 0:
            assert spec.picture_limits is not None, "picture_limits are missing"
            assert spec.picture_limits.source.startswith("https://"), spec.picture_limits.source
        if spec.upload_form is not None and spec.mode is Mode.EDIT:
            assert spec.video_limits is not None, "video_limits are missing"
            assert spec.video_limits.source.startswith("https://"), spec.video_limits.source
        if spec.inline_limit is not None:
            assert MediaForm.DATA_URI in spec.image_forms
        if spec.upload_form is not None:
            assert spec.upload_form in spec.image_forms | spec.video_forms
            assert spec.upload_form in (MediaForm.URL, MediaForm.OSS)

    def test_an_upload_has_the_file_once_and_the_key_only_for_the_api(self, spec: ModelSpec) -> None:
        """The body of an upload has the token of the file, and the API key is only sent to the host of the API."""
        adapter, account = self.adapter, self.account
        if spec.upload_form is None or adapter.upload_problem(account) is not None:
            return
        file = UploadFile(name="0451.mp4", mime="video/mp4", size=9, token="hh-media-raw-0451", model=spec.model)  # noqa: S106
        storage = UploadPolicy(url="https://storage.example/store", fields={"policy": "a"}, folder="folder")
        policy = None if adapter.encode_upload_policy(file, account) is None else storage
        message = adapter.encode_upload(file, policy, account)

        assert 1 == (message.body or b"").count(file.token.encode())
        assert message == adapter.encode_upload(file, policy, account)
        further = [adapter.further_url(option, account) for option in adapter.further_urls]
        if urlsplit(message.url).netloc not in [urlsplit(url).netloc for url in (account.base_url, *further)]:
            assert account.api_key not in "".join((message.url, *message.headers.values()))
            assert account.api_key.encode() not in (message.body or b"")

    def test_an_account_refuses_what_it_does_not_know(self) -> None:
        """An option or region that is not the provider's is a ConfigurationError."""
        with pytest.raises(ConfigurationError, match="contract_probe"):
            self._account(options={**self.options, "contract_probe": "x"})
        with pytest.raises(ConfigurationError, match="atlantis"):
            self._account(region="atlantis")

    def test_an_account_leads_to_the_documented_root(self) -> None:
        """Without a region it is the documented root; each region has a root, or an error names the option it needs."""
        for region in (None, *self.adapter.regions):
            try:
                account = self._account(region=region)
            except ConfigurationError:
                assert region is not None
                continue
            assert account.base_url.startswith("https://")
            assert not account.base_url.endswith("/")
            assert KEY not in repr(account)

    def test_further_hosts_are_options(self) -> None:
        """A further host is the documented one, that of the option, or the base URL if that is the user's own."""
        adapter = self.adapter
        for option, documented in adapter.further_urls.items():
            assert option in adapter.option_names
            assert documented.startswith("https://")
            assert documented.rstrip("/") == adapter.further_url(option, self.account)
            given = self._account(options={**self.options, option: "http://127.0.0.1:8000/files/"})
            assert "http://127.0.0.1:8000/files" == adapter.further_url(option, given)
            own = self._account(base_url="http://127.0.0.1:8000/there")
            assert "http://127.0.0.1:8000/there" == adapter.further_url(option, own)

    def test_a_base_url_of_ones_own_wins(self) -> None:
        """A given base URL replaces the documented one, without its trailing slash."""
        account = self._account(base_url="http://127.0.0.1:8000/there/")

        assert "http://127.0.0.1:8000/there" == account.base_url
        for message in self._messages(account):
            assert message.url.startswith("http://127.0.0.1:8000/there/")

    def test_a_request_finds_its_model(self, spec: ModelSpec) -> None:
        """A model is found by its id, by its version, and without either if it is the default of its mode."""
        request = minimal(spec)
        siblings = [other for other in self.adapter.capabilities.models if other.mode is spec.mode]
        namesakes = [other for other in siblings if other.version == spec.version]

        assert spec == self._checked(request)
        assert namesakes[0] == self._checked(evolve(request, model=None, version=spec.version))
        default = next((other for other in siblings if not other.opt_in), siblings[0])
        assert default == self._checked(evolve(minimal(default), model=None))

    def test_what_is_declared_is_accepted(self, spec: ModelSpec) -> None:
        """Every value that a model declares can be requested and encoded."""
        for request in right(spec):
            assert self.encoded(request).method

    def test_what_is_not_declared_is_refused(self, spec: ModelSpec) -> None:
        """A value out of range is an InvalidRequestError, a missing option an UnsupportedFeatureError."""
        for case in wrong(spec):
            error = _error_of(self._checked, case.request)
            assert isinstance(error, case.error), f"{case.what}: {error!r}"
            assert PROVIDER == error.provider

    def test_what_the_provider_lacks_is_unsupported(self) -> None:
        """A missing mode, version, callback, list or cancellation is an UnsupportedFeatureError."""
        adapter, account = self.adapter, self.account
        models = adapter.capabilities.models
        for mode in Mode:
            siblings = [spec for spec in models if spec.mode is mode]
            for request in missing_versions(siblings) if siblings else [minimal(ANY_MODELS[mode])]:
                error = _error_of(self._checked, evolve(request, model=None))
                assert isinstance(error, UnsupportedFeatureError), f"{mode} {request.version}: {error!r}"
        called = _error_of(self.submission, minimal(models[0]), callback_url=CALLBACK_URL)
        listed = _error_of(adapter.encode_list, PAGE, account)
        canceled = _error_of(adapter.encode_cancel, "1", account)

        assert adapter.capabilities.callbacks == (not isinstance(called, UnsupportedFeatureError))
        assert adapter.capabilities.can_list == (not isinstance(listed, UnsupportedFeatureError))
        assert adapter.capabilities.can_list or not adapter.capabilities.list_is_live
        assert adapter.capabilities.list_is_live or not adapter.capabilities.list_has_results
        assert adapter.capabilities.can_cancel == (not isinstance(canceled, UnsupportedFeatureError))

    def test_a_request_is_encoded_the_same_way_each_time(self, spec: ModelSpec) -> None:
        """The same request always gives the same bytes."""
        for request in (minimal(spec), maximal(spec)):
            assert self.encoded(request) == self.encoded(request)

    def test_the_key_stands_in_the_headers_alone(self, spec: ModelSpec) -> None:
        """Neither URL nor body nor repr of any message shows the API key, and one header carries it."""
        for message in (self.encoded(maximal(spec)), *self._messages(self.account)):
            assert 1 == sum(KEY in value for value in message.headers.values()), "one header carries the key"
            assert KEY not in message.url, f"the URL of a {message.method} shows the API key, and is logged"
            assert KEY.encode() not in (message.body or b""), f"the body of a {message.method} shows the API key"
            assert KEY not in repr(message), f"the repr of a {message.method} shows the API key"

    def test_messages_go_to_the_provider(self, spec: ModelSpec) -> None:
        """Every URL is below the account's root, and every header can be sent."""
        for message in (self.encoded(maximal(spec)), *self._messages(self.account)):
            assert message.url.startswith(f"{self.account.base_url}/"), f"{message.url} is not below the account's root"
            assert message.url.isascii(), f"{message.url!r} is not ASCII: quote what is put into it"
            assert message.method in ("GET", "POST", "PUT", "DELETE")
            assert all("\n" not in value and value.isascii() for value in message.headers.values())

    def test_what_is_requested_is_sent(self, spec: ModelSpec) -> None:
        """The message names the model, and has the prompt, the media and the numbers of the request."""
        for request in (minimal(spec), maximal(spec)):
            message = self.encoded(request)
            sent = [value for _, value in json_positions(_body(message))]
            names = ("prompt", "image", "video", "duration", "seed")
            requested = {name: getattr(request, name, None) for name in names}
            requested |= {f"images[{number}]": image for number, image in enumerate(getattr(request, "images", ()))}

            assert spec.model in _everything(message), "the message does not name the model"
            for name, value in requested.items():
                assert value is None or value in sent or str(value) in sent, f"{name} {value!r} is not in the message"

    def test_each_choice_makes_a_difference(self, spec: ModelSpec) -> None:
        """Two values of an option are two messages, so no option is dropped silently."""
        for name, requests in choices(spec):
            assert len({self.encoded(request).body for request in requests}) == len(requests), f"{name} is not sent"

    def test_what_is_not_requested_is_not_sent(self, spec: ModelSpec) -> None:
        """An unset option is absent from the message, not null."""
        message = self.encoded(minimal(spec))
        nulls = [path for path, value in json_positions(_body(message)) if value is None]

        assert [] == nulls, f"what is not set is sent as null: {nulls}"
        assert "None" not in f"{message.url} {dict(message.headers)}"
        assert CALLBACK_URL.encode() not in (message.body or b"")

    def test_extra_is_sent(self, spec: ModelSpec) -> None:
        """A field that this library does not know is sent among the provider's parameters."""
        message = self.encoded(evolve(minimal(spec), extra={"contract_probe": "x"}))

        sent = [value for path, value in json_positions(_body(message)) if path[-1:] == ("contract_probe",)]
        assert "x" in sent, "what stands in `extra` is not in the body of the message"

    @pytest.mark.parametrize("value", [object(), float("nan"), "\ud800"], ids=["an object", "NaN", "half a pair"])
    def test_extra_that_cannot_be_encoded_is_refused(self, spec: ModelSpec, value: object) -> None:
        """A value in `extra` that JSON cannot express is an InvalidRequestError."""
        with pytest.raises(InvalidRequestError):
            self.encoded(evolve(minimal(spec), extra={"contract_probe": value}))

    def test_a_prompt_that_cannot_be_encoded_is_refused(self, spec: ModelSpec) -> None:
        """A prompt with a lone surrogate is an InvalidRequestError."""
        with pytest.raises(InvalidRequestError):
            self.encoded(evolve(minimal(spec), prompt="a kite \ud800"))

    def test_a_callback_url_is_sent(self) -> None:
        """If the provider has callbacks, the URL is in the message: in its body, or in the query of its URL."""
        if not self.adapter.capabilities.callbacks:
            pytest.skip("the provider has no callbacks")
        message = self.encoded(minimal(self.adapter.capabilities.models[0]), callback_url=CALLBACK_URL)
        query = [value for _, value in parse_qsl(urlsplit(message.url).query)]

        assert CALLBACK_URL in [*query, *(value for _, value in json_positions(_body(message)))]

    def test_an_unsigned_callback_is_rejected(self) -> None:
        """If callbacks are signed, one without a signature is rejected; if not, there is nothing to verify."""
        message = HttpRequest(method="POST", url="", body=b"{}")
        error = _error_of(self.adapter.verify_callback, message, ["contract-secret"], datetime.now(UTC))
        wanted = CallbackRejectedError if self.adapter.capabilities.signed_callbacks else UnsupportedFeatureError

        assert isinstance(error, wanted)

    def test_a_callback_that_makes_no_sense(self) -> None:
        """Junk sent to the callback URL is an InvalidResponseError, and ends no task."""
        for what, body in HOSTILE_BODIES.items():
            message = HttpRequest(method="POST", url="", body=body)
            try:
                said = self.adapter.decode_callback(message, self.account)
            except (InvalidResponseError, UnsupportedFeatureError):
                continue
            assert not isinstance(said, Task) or not said.status.is_terminal, what

    def test_the_job_is_the_idempotency_key(self) -> None:
        """If submits are idempotent, the message carries the id of the job, and another job has another id."""
        if not self.adapter.capabilities.idempotent:
            pytest.skip("the provider takes no idempotency key")
        request = maximal(self.adapter.capabilities.models[0])
        first, second = self.encoded(request), self.encoded(request, job_id=f"{JOB_ID}2")

        assert JOB_ID in _everything(first)
        assert f"{JOB_ID}2" in _everything(second)

    @pytest.mark.parametrize("task_id", _STRANGE_IDS)
    def test_a_task_id_stays_in_its_place(self, task_id: str) -> None:
        """An id is opaque: no character in it changes another part of the URL."""
        account = self.account
        encoders = [self.adapter.encode_fetch]
        if self.adapter.capabilities.can_cancel:
            encoders.append(self.adapter.encode_cancel)

        for encode in encoders:
            plain, strange = urlsplit(encode("plain", account).url), urlsplit(encode(task_id, account).url)
            unquoted = f"{encode.__name__} puts the id {task_id!r} into the URL without quoting it: {strange.geturl()}"
            assert plain.path.count("/") == strange.path.count("/"), unquoted
            assert plain.query.count("&") == strange.query.count("&"), unquoted
            assert "" == strange.fragment, unquoted

    def test_warnings_are_sentences(self, spec: ModelSpec) -> None:
        """Warnings are sentences, and never contain the key."""
        for request in (minimal(spec), maximal(spec)):
            warnings = self.adapter.warnings(self.submission(request), self.account)
            assert all(isinstance(warning, str) and warning.strip() for warning in cast("tuple[object]", warnings))
            assert KEY not in "".join(warnings)

    def _account(self, **choice: Any) -> Account:
        choices: dict[str, Any] = {"options": self.options, **choice}
        return self.adapter.account(provider=PROVIDER, api_key=KEY, **choices)

    def _checked(self, request: VideoRequest) -> ModelSpec:
        return self.adapter.check(request, provider=PROVIDER)

    def _messages(self, account: Account) -> list[HttpRequest]:
        """Encode every operation except the submit."""
        adapter = self.adapter
        messages = [adapter.encode_fetch("task-0451", account)]
        if adapter.capabilities.can_list:
            messages.append(adapter.encode_list(PAGE, account))
        if adapter.capabilities.can_cancel:
            messages.append(adapter.encode_cancel("task-0451", account))
        return messages


def _error_of(call: Callable[..., object], *arguments: Any, **options: Any) -> HappyHorseError | None:
    try:
        call(*arguments, **options)
    except HappyHorseError as error:
        return error
    return None


def _body(message: HttpRequest) -> Mapping[str, Any]:
    if not message.body:
        return {}
    body: Mapping[str, Any] = json.loads(message.body)
    return body


def _everything(message: HttpRequest) -> str:
    return f"{message.url} {dict(message.headers)} {(message.body or b'').decode(errors='replace')}"
