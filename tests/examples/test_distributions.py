"""Providers from outside: each distribution in the examples, built and installed on its own, known to no other file."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/pyproject.toml"))
PROGRAM = Path(sys.executable).with_name("happyhorse")


def project(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def names(folder: Path) -> list[str]:
    return list(project(folder)["entry-points"]["happyhorse_async.adapters"])


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build a distribution with its own build backend, without network, and unpack its wheel where Python finds it."""
    folder, built, target = request.param, tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("site")
    build = "import sys; from hatchling import build; print(build.build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(built)], cwd=folder, check=True)
    (wheel,) = built.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(target)
    return folder, target


def run(target: Path, *command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HAPPYHORSE_")}
    environment |= {"PYTHONPATH": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    where = folder or target
    return subprocess.run(command, check=False, cwd=where, env=environment, capture_output=True, text=True, timeout=150)


def test_it_is_listed_beside_the_others(installed: tuple[Path, Path]) -> None:
    """`happyhorse providers` shows it once it is installed, and not before."""
    folder, target = installed
    shown = run(target, PROGRAM, "providers")
    without = run(target.parent, PROGRAM, "providers")

    for name in names(folder):
        assert f"\n{name} " in shown.stdout, shown.stderr
        assert f"\n{name} " not in without.stdout


def test_it_passes_the_contract_suite(installed: tuple[Path, Path], tmp_path: Path) -> None:
    """Its own tests, run on what was installed."""
    folder, target = installed
    for test in folder.glob("test_*.py"):
        (tmp_path / test.name).write_bytes(test.read_bytes())
    done = run(target, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), folder=tmp_path)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert " passed" in done.stdout


def test_no_other_file_knows_it() -> None:
    """Neither code nor tests nor documentation of this repository name it."""
    assert FOLDERS
    for folder in FOLDERS:
        for name in names(folder):
            for place in ("happyhorse_async", "adapters", "tests", "noxfile.py", "pyproject.toml"):
                files = [ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*.py")
                found = [path for path in files if name in path.read_text("utf-8").lower()]
                assert found == [], f"{name} is named"
