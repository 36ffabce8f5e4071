"""What is installed agrees with what the project says of itself."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import EntryPoint, distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from happyhorse_async.adapter import Adapter
from happyhorse_async.emulation import EmulatedAPI

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
INSTALLED = distribution("happyhorse-async")

PROVIDERS = tuple(PROJECT["entry-points"]["happyhorse_async.adapters"])


def entry(group: str, name: str) -> EntryPoint:
    """Return the one installed entry point of that name."""
    (found,) = (point for point in INSTALLED.entry_points if point.group == group and point.name == name)
    return found


def test_the_version_agrees() -> None:
    """The installed version is the project's."""

    assert PROJECT["version"] == INSTALLED.version


def test_the_entry_points_agree() -> None:
    """Every entry point of the project is installed as it is written, and no other."""
    written = PROJECT["entry-points"] | {"console_scripts": PROJECT["scripts"]}

    assert {(group, name, value) for group, points in written.items() for name, value in points.items()} == {
        (point.group, point.name, point.value) for point in INSTALLED.entry_points
    }


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_adapter_is_an_adapter(name: str) -> None:
    """What is registered under a provider's name is an adapter of that name."""
    adapter = entry("happyhorse_async.adapters", name).load()

    assert issubclass(adapter, Adapter)
    assert name == adapter.name
    assert "happyhorse_adapters" == adapter.__module__.partition(".")[0]


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_emulated_api_is_one(name: str) -> None:
    """What is registered for the emulator under a provider's name is an emulated API, in the package of those."""
    emulated_api = entry("happyhorse_async.emulated_apis", name).load()

    assert issubclass(emulated_api, EmulatedAPI)
    assert emulated_api.__module__.startswith("happyhorse_adapters.emulated.")


def test_every_adapter_has_its_emulated_api() -> None:
    """The emulator plays every provider that there is an adapter for."""
    points = PROJECT["entry-points"]

    assert set(points["happyhorse_async.adapters"]) == set(points["happyhorse_async.emulated_apis"])


@pytest.mark.parametrize("package", ["happyhorse_async", "happyhorse_adapters"])
def test_the_packages_are_typed(package: str) -> None:
    """Both packages tell type checkers that they are typed."""

    assert files(package).joinpath("py.typed").is_file()


def test_the_folder_of_adapters_is_no_package() -> None:
    """`adapters` is the import name of another distribution, so the folder of that name must stay a folder."""

    assert (ROOT / "adapters" / "happyhorse_adapters").is_dir()
    assert not (ROOT / "adapters" / "__init__.py").exists()


def test_every_extra_says_what_it_weighs() -> None:
    """The page on installing has a row for each extra, with the packages and the megabytes that were measured."""
    page = (ROOT / "docs" / "installing.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .+ \| \d+ \| \d+ MB \|$", page, re.MULTILINE)

    assert sorted(PROJECT["optional-dependencies"]) == sorted(rows)


def test_the_classifiers_agree() -> None:
    """The oldest Python in the classifiers is the one that is required."""
    versions = [
        tuple(map(int, found.split(".")))
        for classifier in PROJECT["classifiers"]
        if (found := classifier.removeprefix("Programming Language :: Python :: ")) != classifier
    ]

    assert PROJECT["requires-python"] == ">=" + ".".join(map(str, min(versions)))


def test_every_python_of_the_classifiers_is_run() -> None:
    """The workflow of the checks runs each Python that the package claims, and no other."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text("utf-8"))
    prefix = "Programming Language :: Python :: "
    claimed = [name.removeprefix(prefix) for name in PROJECT["classifiers"] if name.startswith(prefix)]

    assert claimed == workflow["jobs"]["gate"]["strategy"]["matrix"]["python"]


def test_a_release_is_signed_and_has_a_bill_of_materials() -> None:
    """PyPI gets attestations by trusted publishing, without a token, and the release on GitHub the bill."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))["jobs"]
    steps = [step for job in jobs.values() for step in job.get("steps", ()) if "uses" in step]
    uses = {step["uses"].partition("@")[0]: step.get("with", {}) for step in steps}

    assert uses["pypa/gh-action-pypi-publish"]["attestations"]
    assert "password" not in uses["pypa/gh-action-pypi-publish"]
    assert "write" == jobs["publish"]["permissions"]["id-token"]
    assert "sbom" in [step.get("with", {}).get("name") for step in jobs["build"]["steps"]]
