"""The tables in the documentation agree with the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from attrs import fields

import happyhorse_async as hh
from happyhorse_async import errors
from happyhorse_async.cli.commands import make_app
from happyhorse_async.cli.exit_codes import ExitCode
from happyhorse_async.cli.output import Output
from happyhorse_async.config import StoreSettings
from happyhorse_async.config import settings as settings_module
from happyhorse_async.jobs.state import TRANSITIONS, JobState
from happyhorse_async.registry import ADAPTERS, find_adapter, find_emulated_api

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# Others may be installed beside our own.
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_ADAPTERS = [find_adapter(name) for name in sorted(_PROJECT["entry-points"][ADAPTERS])]
# A package index shows the README without the repository around it.
_REPOSITORY = f"{_PROJECT['urls']['Source']}/blob/main/"
_NONE = "\N{EN DASH}"
_MODES = {
    hh.Mode.T2V: "text to video",
    hh.Mode.I2V: "image to video",
    hh.Mode.R2V: "reference to video",
    hh.Mode.EDIT: "video edit",
}


def _versions(models: Iterable[hh.ModelSpec]) -> str:
    return ", ".join(sorted({spec.version for spec in models})) or _NONE


def _of(adapter: hh.Adapter, mode: hh.Mode) -> list[hh.ModelSpec]:
    return [spec for spec in adapter.capabilities.models if spec.mode is mode]


def _yes(able: bool) -> str:
    return "yes" if able else _NONE


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _readme_table() -> str:
    head = ("adapter", *hh.Mode, "list", "cancel", "callback URL", "key from")
    rows = [
        (
            f"[`{adapter.name}`]({_REPOSITORY}docs/providers/{adapter.name}.md)",
            *(_versions(_of(adapter, mode)) for mode in hh.Mode),
            *(_yes(able) for able in (adapter.capabilities.can_list, adapter.capabilities.can_cancel)),
            _yes(adapter.capabilities.callbacks),
            f"`{adapter.api_key_env}`",
        )
        for adapter in _ADAPTERS
    ]
    return "\n".join(_row(*cells) for cells in (head, ["---"] * len(head), *rows))


def _by_version(adapter: hh.Adapter, what: Callable[[hh.ModelSpec], Iterable[str]]) -> str:
    """List all values, each with the versions that have it unless all versions do."""
    models = [spec for spec in adapter.capabilities.models if tuple(what(spec))]
    everywhere = {spec.version for spec in models}
    values = dict.fromkeys(value for spec in models for value in what(spec))
    shown: list[str] = []
    for value in values:
        having = {spec.version for spec in models if value in what(spec)}
        shown.append(value if having == everywhere else f"{value} ({', '.join(sorted(having))})")
    return ", ".join(shown) or _NONE


def _span(values: range) -> str:
    return f"{values[0]} to {values[-1]}" if len(values) > 1 else str(values[0])


def _images(adapter: hh.Adapter, mode: hh.Mode) -> str:
    return next((_span(spec.images) for spec in _of(adapter, mode)), _NONE)


def _option(adapter: hh.Adapter, has: Callable[[hh.ModelSpec], bool]) -> str:
    models = adapter.capabilities.models
    having = [spec for spec in models if has(spec)]
    versions = _versions(having)
    return "yes" if versions == _versions(models) else versions if not having else f"{versions} only"


def _forms(adapter: hh.Adapter, forms: Callable[[hh.ModelSpec], Iterable[hh.MediaForm]]) -> str:
    found = {form for spec in adapter.capabilities.models if spec.mode is not hh.Mode.T2V for form in forms(spec)}
    return ", ".join(form.value for form in hh.MediaForm if form in found)


def _tasks_at_once(adapter: hh.Adapter) -> str:
    limits = adapter.limits
    if limits.max_running is None:
        return _NONE
    apart = ", per model" if adapter.limits_per_model else ""
    return f"{limits.max_running}, and {limits.max_queued or 0} that wait{apart}"


def _interval(adapter: hh.Adapter) -> str:
    first, last = adapter.poll.interval or 0, adapter.poll.max_interval
    return f"{first:g} s" if last is None else f"{first:g} s, growing to {last:g} s"


_FACTS: dict[str, Callable[[hh.Adapter], str]] = {
    "resolutions": lambda adapter: _by_version(adapter, lambda spec: spec.resolutions),
    "ratios": lambda adapter: _by_version(adapter, lambda spec: spec.ratios),
    "seconds": lambda adapter: _span(adapter.capabilities.models[0].durations),
    "`seed`": lambda adapter: _option(adapter, lambda spec: spec.seed),
    "`watermark`": lambda adapter: _option(adapter, lambda spec: spec.watermark),
    "`audio` of an edit": lambda adapter: _yes(any(spec.audio for spec in adapter.capabilities.models)),
    "reference images": lambda adapter: _images(adapter, hh.Mode.R2V),
    "images beside an edit": lambda adapter: _images(adapter, hh.Mode.EDIT),
    "an image is given as": lambda adapter: _forms(adapter, lambda spec: spec.image_forms),
    "list": lambda adapter: _yes(adapter.capabilities.can_list),
    "cancel": lambda adapter: _yes(adapter.capabilities.can_cancel),
    "callback URL": lambda adapter: _yes(adapter.capabilities.callbacks),
    "idempotency key": lambda adapter: _yes(adapter.capabilities.idempotent),
    "looks every": _interval,
    "queries per second": lambda adapter: f"{adapter.limits.queries_per_second:g}",
    "submits per second": lambda adapter: f"{adapter.limits.submits_per_second:g}",
    "tasks at once": _tasks_at_once,
    "looks for up to": lambda adapter: f"{adapter.task_ttl / 3600:g} h",
    "regions": lambda adapter: ", ".join(adapter.regions) or _NONE,
    "options": lambda adapter: ", ".join(f"`{name}`" for name in sorted(adapter.option_names)) or _NONE,
    "key from": lambda adapter: f"`{adapter.api_key_env}`",
}


def _matrix() -> str:
    head = ("", *(f"[`{adapter.name}`]({adapter.name}.md)" for adapter in _ADAPTERS))
    modes = [(name, *(_versions(_of(adapter, mode)) for adapter in _ADAPTERS)) for mode, name in _MODES.items()]
    facts = [(fact, *(find(adapter) for adapter in _ADAPTERS)) for fact, find in _FACTS.items()]
    return "\n".join(_row(*cells) for cells in (head, ["---"] * len(head), *modes, *facts))


def _model_table(adapter: hh.Adapter) -> str:
    head = ("mode", "version", "model")
    rows = [(spec.mode, spec.version, f"`{spec.model}`") for spec in adapter.capabilities.models]
    return "\n".join(_row(*cells) for cells in (head, ["---"] * 3, *rows))


def test_the_table_of_the_readme_is_true() -> None:
    """Modes, versions and operations of every adapter stand in the README as its capabilities have them."""
    table = (ROOT / "README.md").read_text("utf-8").partition("<!-- providers -->\n")[2]

    assert _readme_table() == table[: len(_readme_table())]


def test_the_matrix_of_the_providers_is_true() -> None:
    """What each provider can do stands in the matrix as its adapter has it."""
    table = (DOCS / "providers" / "index.md").read_text("utf-8").partition("<!-- matrix -->\n")[2]

    assert _matrix() == table[: len(_matrix())]


@pytest.mark.parametrize("adapter", _ADAPTERS, ids=lambda adapter: adapter.name)
def test_the_page_of_a_provider_names_its_models(adapter: hh.Adapter) -> None:
    """Each provider has a page with its models, its address and its documentation."""
    page = (DOCS / "providers" / f"{adapter.name}.md").read_text("utf-8")

    assert _model_table(adapter) in page
    assert adapter.default_base_url in page
    assert adapter.documentation in page
    assert f"`{adapter.api_key_env}`" in page
    for option in adapter.option_names:
        assert f"`{option}`" in page
    for region in adapter.regions:
        assert f"`{region}`" in page


@pytest.mark.parametrize("adapter", _ADAPTERS, ids=lambda adapter: adapter.name)
def test_the_page_of_a_provider_shows_what_is_sent(adapter: hh.Adapter) -> None:
    """For each mode, a page has the JSON body that the adapter writes for the request printed before it."""
    page = (DOCS / "providers" / f"{adapter.name}.md").read_text("utf-8")

    assert len({spec.mode for spec in adapter.capabilities.models}) == page.count("print_body(client.plan(")


def _first_cells(page: str) -> set[str]:
    rows = re.findall(r"^\| (.*?) \|", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_error_is_explained() -> None:
    """Each class of the tree has a row, or a sentence of its own."""
    page = (DOCS / "errors.md").read_text("utf-8")
    explained = _first_cells("errors.md") | {"HappyHorseError", "CallbackRejectedError"}

    assert set(errors.__all__) == explained & set(errors.__all__)
    assert all(page.count(name) > 1 for name in errors.__all__)


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    """The tree on the page is the one in the module's docstring."""
    drawn = (errors.__doc__ or "").partition("    HappyHorseError")[2].partition("\n\n")[0]
    tree = "HappyHorseError" + drawn.replace("\n    ", "\n")

    assert f"```text\n{tree}\n```" in (DOCS / "errors.md").read_text("utf-8")


def test_every_reason_is_explained() -> None:
    """The page on errors has a row for each reason why a task can fail."""
    assert set(hh.FailureReason) <= _first_cells("errors.md")


def _http_statuses() -> dict[str, str]:
    table = (DOCS / "errors.md").read_text("utf-8").partition("<!-- http -->")[2].partition("\n\n")[0]
    rows = [row.split(" | ") for row in table.splitlines() if "Error`" in row]
    return {name: row[1] for row in rows for name in re.findall(r"`(\w+Error)`", row[0])}


@pytest.mark.parametrize("name", sorted({*errors.__all__} - {"CallbackRejectedError", "TaskFailedError"}))
def test_the_http_status_of_an_error_is_that_of_the_table(name: str) -> None:
    """What the page tells a web handler to answer is what the error carries."""
    assert _http_statuses().get(name, "502") == str(getattr(hh, name)._http_status)


def test_every_key_of_the_file_is_explained() -> None:
    """The page on configuration has a row for every key that the file may hold."""
    classes = (settings_module._Section, StoreSettings, hh.PollSchedule, hh.Limits, hh.RetryPolicies, hh.RetryPolicy)
    keys = {attribute.name for cls in classes for attribute in fields(cls) if attribute.init}
    tables = {f"`{attribute.name}`" if attribute.name == "default" else f"[{attribute.name}"
              for attribute in fields(settings_module._File)}  # fmt: skip
    text = (DOCS / "configuration.md").read_text("utf-8")

    assert set() == keys - _first_cells("configuration.md")
    assert all(table in text for table in tables)


def test_every_command_is_explained() -> None:
    """The page on the command line has a heading for every command."""
    app = make_app(Output(as_json=False))
    commands = {name for name in app if not name.startswith("-")}
    headings = set(re.findall(r"^### (\S+)$", (DOCS / "cli.md").read_text("utf-8"), re.MULTILINE))

    assert commands == headings


def test_every_exit_code_is_explained() -> None:
    """The page on the command line has a row for every exit code."""
    assert {str(code.value) for code in ExitCode} <= _first_cells("cli.md")


def test_the_emulator_is_explained() -> None:
    """The page on the emulator has a row for every argument and every figure of a scenario."""
    names = {attribute.name for cls in (hh.Scenario, hh.SimulatedTask) for attribute in fields(cls)}
    arguments = set(hh.Emulator.__init__.__annotations__) - {"return"}

    assert set() == (names | arguments) - _first_cells("emulator.md")


def test_the_quotas_of_the_emulator_are_those_of_the_providers() -> None:
    """The page on the emulator names every provider whose published limits the emulator can keep."""
    page = (DOCS / "emulator.md").read_text("utf-8")
    names = {adapter.name for adapter in _ADAPTERS}
    limited = {name for name in names if find_emulated_api(name).limits.rates}

    assert limited == {name for name in names if f"| `{name}` | " in page.partition("## Limits")[2]}


def _documented(pages: str) -> list[str]:
    text = "\n".join(page.read_text("utf-8") for page in (DOCS / "reference").glob(pages))
    return re.findall(r"auto(?!module)\w+:: happyhorse_async\.(\w+)(?:\(\))?$", text, re.MULTILINE)


def test_every_public_name_is_in_the_reference_once() -> None:
    """Each name that the package exports is documented from the code, on one page."""
    assert sorted(hh.__all__) == sorted(_documented("*.md"))


def _links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))


def test_the_links_of_the_readme_are_absolute_and_lead_somewhere() -> None:
    """A package index has no files beside the README, and each link into the repository names a file of it."""
    links = [link for link in _links(ROOT / "README.md") if not link.startswith("#")]
    in_repository = [link.removeprefix(_REPOSITORY).partition("#")[0] for link in links if link.startswith(_REPOSITORY)]

    assert all(link.startswith("https://") for link in links)
    assert [] == [path for path in in_repository if not (ROOT / path).is_file()]
    assert "docs/images/frame.png" in "".join(links)


def test_the_files_that_the_architecture_names_exist() -> None:
    """Each path in the page is one of the package, or of the repository."""
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", (DOCS / "architecture.md").read_text("utf-8"))

    assert paths
    assert [] == [
        path for path in paths if not any((root / path).exists() for root in (ROOT, ROOT / "happyhorse_async"))
    ]


def test_the_transitions_of_a_job_are_those_of_the_code() -> None:
    """The table in the architecture has every change of state that an event can make, and no other."""
    page = (DOCS / "architecture.md").read_text("utf-8").partition("<!-- transitions -->\n")[2]
    labels: dict[tuple[JobState, JobState], list[str]] = {}
    for (state, event), target in TRANSITIONS.items():
        if state is not target:
            labels.setdefault((state, target), []).append(event.value)
    rows = [(f"`{before}`", f"`{after}`", ", ".join(events)) for (before, after), events in labels.items()]
    table = "\n".join(_row(*cells) for cells in (("from", "to", "event"), ["---"] * 3, *rows))

    assert table == page[: len(table)], table
