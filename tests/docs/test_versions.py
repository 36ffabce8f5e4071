"""The folder that is hosted has a folder for each version, and leads from one to another."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


def _module() -> ModuleType:
    path = Path(__file__).parents[2] / "docs" / "versions.py"
    spec = importlib.util.spec_from_file_location("docs_versions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


versions = _module()


def _build(site: Path, version: str, *pages: str) -> None:
    for page in ("index", *pages):
        file = site / version / f"{page}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(version)
    (site / version / "llms.txt").write_text(f"# {version}")


def _facts(site: Path) -> dict[str, object]:
    facts: dict[str, object] = json.loads((site / "versions.js").read_text().partition(" = ")[2].rstrip(";\n"))
    return facts


def test_releases_are_the_tags_of_final_versions_from_the_newest_on() -> None:
    assert ["0.10.0", "0.9.1"] == versions.releases(["v0.9.1", "v0.10.0", "v1.0.0rc1", "nightly", "0.3"])


def test_the_newest_release_comes_first_and_the_checkout_last(tmp_path: Path) -> None:
    for version in ("dev", "0.9.0", "0.10.0"):
        _build(tmp_path, version)

    assert ["0.10.0", "0.9.0", "dev"] == versions.assemble(tmp_path)
    assert "0.10.0" == _facts(tmp_path)["latest"]
    assert "url=0.10.0/index.html" in (tmp_path / "index.html").read_text()
    assert "# 0.10.0" == (tmp_path / "llms.txt").read_text()


def test_without_a_release_the_site_starts_with_the_checkout(tmp_path: Path) -> None:
    _build(tmp_path, "dev")

    assert ["dev"] == versions.assemble(tmp_path)
    assert _facts(tmp_path)["latest"] is None
    assert "url=dev/index.html" in (tmp_path / "index.html").read_text()


def test_the_pages_of_each_version_are_known(tmp_path: Path) -> None:
    """A link to another version leads to the same page only where that version has it."""
    _build(tmp_path, "dev", "new", "reference/client", "_modules/client")
    _build(tmp_path, "0.1.0", "reference/client")
    versions.assemble(tmp_path)

    assert {"0.1.0": ["index", "reference/client"], "dev": ["index", "new", "reference/client"]} == _facts(tmp_path)[
        "pages"
    ]


@pytest.mark.parametrize("name", ["versions.js", "index.html"])
def test_every_link_of_the_site_is_relative(tmp_path: Path, name: str) -> None:
    _build(tmp_path, "dev")
    versions.assemble(tmp_path)

    assert "//" not in (tmp_path / name).read_text()
