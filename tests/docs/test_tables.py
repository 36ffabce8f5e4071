"""The tables in the documentation agree with the code."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from attrs import fields

import happyhorse_async as hh
from happyhorse_async import errors
from happyhorse_async.cli.commands import make_app
from happyhorse_async.cli.exit_codes import ExitCode
from happyhorse_async.cli.output import Output
from happyhorse_async.config import StoreSettings
from happyhorse_async.config import settings as settings_module
from happyhorse_async.config.section import Section
from happyhorse_async.jobs.state import TRANSITIONS, JobState
from happyhorse_async.registry import ADAPTERS, find_adapter, find_emulated_api

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# Others may be installed beside our own.
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# A package index shows the README without the repository around it.
_REPOSITORY = f"{_PROJECT['urls']['Source']}/blob/main/"
_ADAPTERS = [find_adapter(name) for name in sorted(_PROJECT["entry-points"][ADAPTERS])]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


@pytest.fixture(scope="module")
def writer() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "write_providers.py"))


def test_the_tables_of_providers_are_written(writer: dict[str, Any]) -> None:
    """README, overviews and provider pages have the tables that the adapters' capabilities make."""
    for path, text in writer["pages"]().items():
        assert text == path.read_text("utf-8"), f"{path}: run docs/write_providers.py"


@pytest.mark.parametrize("adapter", _ADAPTERS, ids=lambda adapter: adapter.name)
def test_every_provider_has_a_page(adapter: hh.Adapter) -> None:
    """Each provider has a page with its address, its documentation, and its settings."""
    page = (DOCS / "providers" / f"{adapter.name}.md").read_text("utf-8")

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
    classes = (Section, StoreSettings, hh.PollSchedule, hh.Limits, hh.RetryPolicies, hh.RetryPolicy)
    keys = {attribute.name for cls in classes for attribute in fields(cls) if attribute.init}
    tables = {f"`{attribute.name}`" if attribute.name in ("default", "proxy") else f"[{attribute.name}"
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

    section = page.partition("\n## Limits\n")[2].partition("\n## ")[0]
    assert limited == {name for name in names if f"| `{name}` | " in section}


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
    assert "docs/images/cli.svg" in "".join(links)


def test_the_files_that_the_architecture_names_exist() -> None:
    """Each path in the page is one of the package, or of the repository."""
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", (DOCS / "architecture.md").read_text("utf-8"))

    assert paths
    assert [] == [
        path for path in paths if not any((root / path).exists() for root in (ROOT, ROOT / "happyhorse_async"))
    ]


def test_the_picture_of_the_states_is_drawn_from_the_code() -> None:
    """The picture in the architecture has a box for each state and a line for each transition."""
    drawn = runpy.run_path(str(DOCS / "write_states.py"))["picture"]()

    assert drawn == (DOCS / "states.svg").read_text("utf-8"), "run docs/write_states.py"
    assert ":file: states.svg" in (DOCS / "architecture.md").read_text("utf-8")


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
