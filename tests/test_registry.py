"""The registry, over distributions laid out on disk as an installer leaves them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from importlib.metadata import distribution
from pathlib import Path
from textwrap import dedent

import pytest

import happyhorse_async as hh
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.registry import (
    ADAPTERS,
    adapter_names,
    emulated_api_names,
    find_adapter,
    find_emulated_api,
    providers_that_can,
)
from happyhorse_async.request import TextToVideo, VideoEdit

Install = Callable[..., None]

ADAPTER = """
    from happyhorse_async.adapter import Account, Adapter, Submission
    from happyhorse_async.capabilities import Capabilities, ModelSpec
    from happyhorse_async.messages import HttpRequest, HttpResponse
    from happyhorse_async.request import Mode
    from happyhorse_async.task import Task

    SPEC = ModelSpec(mode=Mode.T2V, version="1.0", model="toy-t2v", resolutions=("720P",), durations=range(60, 61))

    class Toy(Adapter):
        name = "toy"
        title = "Toy"
        documentation = "https://toy.example/docs"
        api_key_env = "TOY_API_KEY"
        capabilities = Capabilities(models=(SPEC,))
        default_base_url = "https://toy.example"

        def encode_submit(self, submission: Submission, account: Account) -> HttpRequest:
            raise NotImplementedError

        def decode_submit(self, response: HttpResponse, account: Account) -> Task:
            raise NotImplementedError

        def encode_fetch(self, task_id: str, account: Account) -> HttpRequest:
            raise NotImplementedError

        def decode_fetch(self, response: HttpResponse, task_id: str, account: Account) -> Task:
            raise NotImplementedError
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay out a distribution with one module and one entry point, and put it on the path."""

    def install(
        distribution: str, module: str, code: str, entry: str, *, group: str = "happyhorse_async.adapters"
    ) -> None:
        site = tmp_path / distribution
        metadata = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
        (site / f"{module}.py").write_text(dedent(code))
        monkeypatch.syspath_prepend(site)

    return install


def test_ours_are_registered() -> None:
    """The adapters of this project are registered, each with its emulated API."""
    ours = {point.name for point in distribution("happyhorse-async").entry_points.select(group=ADAPTERS)}

    assert ours
    assert ours <= set(adapter_names())
    assert adapter_names() == tuple(sorted(adapter_names()))
    assert ours <= set(emulated_api_names())


def test_a_refusal_does_not_read_the_metadata_of_every_distribution_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes milliseconds, and a web app refuses requests in its event loop."""
    client, request = hh.Client("dashscope", api_key="k"), TextToVideo("a", duration=99)
    with pytest.raises(hh.InvalidRequestError):
        client.plan(request)
    monkeypatch.delattr(metadata, "entry_points")
    with pytest.raises(hh.InvalidRequestError):
        client.plan(request)


def test_a_third_party_adapter_is_found(install: Install) -> None:
    """An adapter of another distribution is found by its entry point alone."""
    install("toy-adapter", "toy_found", ADAPTER, "toy = toy_found:Toy")

    assert "toy" in adapter_names()
    assert "Toy" == find_adapter("toy").title


def test_an_unknown_name_lists_the_known_ones() -> None:
    """A misspelt adapter is answered with the names there are and the question whether its package is installed."""
    with pytest.raises(ConfigurationError, match=r"no adapter 'dashscop'; known: .*dashscope, .*installed") as raised:
        find_adapter("dashscop")

    assert "hiapi" in str(raised.value)


def test_an_unknown_dialect_is_refused() -> None:
    """The dialects have the same rule as the adapters."""
    with pytest.raises(ConfigurationError, match="no emulated API 'hiap'"):
        find_emulated_api("hiap")


def test_two_claims_on_one_name_are_refused(install: Install) -> None:
    """An adapter is handed an API key, so a second distribution with the same name never replaces the first."""
    install("toy-adapter", "toy_first", ADAPTER, "toy = toy_first:Toy")
    install("evil-toy", "toy_second", ADAPTER, "toy = toy_second:Toy")

    assert 1 == adapter_names().count("toy")
    with pytest.raises(ConfigurationError, match=r"'toy' is registered by evil-toy .* and toy-adapter"):
        find_adapter("toy")


@pytest.mark.parametrize(
    ("module", "code", "target", "reason"),
    [
        ("toy_missing", "", "toy_elsewhere:Toy", "ModuleNotFoundError"),
        ("toy_broken", "raise RuntimeError('half installed')", "toy_broken:Toy", "RuntimeError: half installed"),
        ("toy_nothing", "", "toy_nothing:Toy", "AttributeError"),
        ("toy_alien", "class Toy:\n    name = 'toy'", "toy_alien:Toy", "is not a happyhorse_async.adapter.Adapter"),
        ("toy_abstract", ADAPTER.replace("decode_fetch", "decode_etch"), "toy_abstract:Toy", "abstract"),
        ("toy_renamed", ADAPTER.replace('"toy"', '"joy"'), "toy_renamed:Toy", "calls itself 'joy'"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_refused(
    install: Install, module: str, code: str, target: str, reason: str
) -> None:
    """An adapter that does not load, is none, or has another name than it was registered under, is an error."""
    install("toy-adapter", module, code, f"toy = {target}")

    with pytest.raises(ConfigurationError, match=reason):
        find_adapter("toy")


def test_a_load_failure_names_the_distribution(install: Install) -> None:
    """The error says whose adapter it is, so that one knows what to upgrade."""
    install("toy-adapter", "toy_old", "import no_such_thing", "toy = toy_old:Toy")

    with pytest.raises(ConfigurationError, match=r"toy_old:Toy, from toy-adapter"):
        find_adapter("toy")


def test_a_third_party_dialect_is_found(install: Install) -> None:
    """An emulated API is found by its entry point and made without arguments."""
    code = "class Toy:\n    name = 'toy'"
    install("toy-adapter", "toy_dialect", code, "toy = toy_dialect:Toy", group="happyhorse_async.emulated_apis")

    assert "toy" in emulated_api_names()
    assert "toy" == find_emulated_api("toy").name


def test_providers_that_can(install: Install) -> None:
    """The alternatives to a provider are those whose own check lets the request pass."""
    install("toy-adapter", "toy_able", ADAPTER, "toy = toy_able:Toy")

    assert ("toy",) == providers_that_can(TextToVideo("a minute of rain", duration=60))
    assert "toy" not in providers_that_can(TextToVideo("rain", duration=60), callback_url="https://app.example/hook")
    assert "toy" not in providers_that_can(VideoEdit("rain", "https://app.example/sun.mp4"))


def test_a_broken_adapter_is_no_alternative(install: Install) -> None:
    """An adapter that cannot be loaded does not stand in the way of the others."""
    install("toy-adapter", "toy_works", ADAPTER, "toy = toy_works:Toy")
    install("broken-adapter", "joy_breaks", "import no_such_thing", "joy = joy_breaks:Joy")

    assert ("toy",) == providers_that_can(TextToVideo("a minute of rain", duration=60))
