"""
Every check of the project, and the only place that has their commands.

`nox` runs them all, each in an environment of its own; `nox -s tests` runs the tests on every Python that is installed.
`.ci/run` runs `lint`, `types` and `docs` in one shared environment (`--no-venv --no-install`), the workflows in
`.github/` each session on each Python (`--force-python`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
PACKAGES = ("happyhorse_async", "adapters/happyhorse_adapters")
# The interpreter that one of anything is checked with: the oldest supported.
PYTHON = "3.11"


def _installed(version: str) -> bool:
    # A version manager's shim may be there for an interpreter that is not.
    program = shutil.which(f"python{version}")
    if program is None:
        return False
    return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0  # noqa: S603


PYTHONS = [version for version in nox.project.python_versions(PROJECT) if _installed(version)]


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, name)


def _extras(*names: str) -> str:
    return f".[{','.join(names)}]"


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests in parallel on the installed wheel, and note what they cover."""
    session.install(_extras("cli", "emulator"), *_group("tests"), "pytest-cov>=7")
    # Without PYTHONSAFEPATH the checkout would be imported in place of what is installed.
    env = {"PYTHONSAFEPATH": "1", "COVERAGE_FILE": f".coverage.{session.python}"}
    # The session `coverage` judges what all Pythons cover together.
    coverage = ("--cov", "--cov-report=", "--cov-fail-under=0")
    session.run("pytest", "-n", "auto", *coverage, *session.posargs, env=env)
    session.notify("coverage")


@nox.session
def coverage(session: nox.Session) -> None:
    """Put together what the tests of all Pythons cover."""
    session.install("coverage[toml]>=7.6")
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright, both strict, in the bare checkout: the project itself is not installed."""
    session.install(
        *PROJECT["project"]["dependencies"],
        *(need for extra in PROJECT["project"]["optional-dependencies"].values() for need in extra),
        *_group("tests"),
        *_group("typing"),
        "nox",
    )
    session.run("mypy")
    session.run("pyright")


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Check style, format, and who imports whom."""
    session.install("-e", ".", *_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session(python=PYTHON)
def docs(session: nox.Session) -> None:
    """Build what is hosted, in docs/_build/html: this checkout as dev, and each release once; a warning is an error."""
    session.install(_extras("cli", "emulator"), *_group("docs"))
    site = Path("docs/_build/html")
    _build_docs(session, "sphinx-build", "docs", site / "dev", "dev")
    sys.path.insert(0, "docs")
    from versions import assemble, releases  # noqa: PLC0415 - a module of the documentation

    # Each needs the package of its own day, so that an environment that is shared has none.
    if session.virtualenv.is_sandboxed:
        tags = subprocess.run(["git", "tag"], capture_output=True, text=True, check=False).stdout.split()  # noqa: S607
        for version in releases(tags):
            if not (site / version).exists():
                _build_release_docs(session, site / version, version)
    session.log("versions: %s", ", ".join(assemble(site)))


def _build_docs(session: nox.Session, program: str, source: str, target: Path, version: str) -> None:
    options = ("-W", "--keep-going", "-b", "html", "-D", f"release={version}")
    session.run(program, *options, source, str(target), external=True)


def _build_release_docs(session: nox.Session, target: Path, version: str) -> None:
    folder = Path(session.create_tmp()).resolve() / f"docs-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source, venv = folder / "source", folder / "venv"
    session.run("git", "worktree", "add", "--detach", str(source), f"v{version}", external=True)
    try:
        session.run("python", "-m", "venv", str(venv))
        pip = (str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet")
        session.run(*pip, "--upgrade", "pip>=25.1", external=True)
        group = ("--group", f"{source}/pyproject.toml:docs")
        session.run(*pip, *group, f"{source}[cli,emulator]", external=True)
        _build_docs(session, str(venv / "bin" / "sphinx-build"), str(source / "docs"), target, version)
    finally:
        session.run("git", "worktree", "remove", "--force", str(source), external=True)


@nox.session(python=PYTHON, default=False)
def benchmarks(session: nox.Session) -> None:
    """Measure against floors and peers in the same run, and write the figures and plots of the documentation."""
    session.install(".", *_group("benchmarks"))
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(python=PYTHON)
def package(session: nox.Session) -> None:
    """Build sdist and wheel in dist/, check them, use the wheel in an empty environment, and list that one in sbom/."""
    session.install(*_group("package"))
    dist = Path("dist")
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist))
    wheel = next(dist.glob("*.whl"))
    session.run("twine", "check", "--strict", *(str(file) for file in dist.iterdir()))
    session.run("check-wheel-contents", str(wheel))
    empty = Path(session.create_tmp()) / "empty"
    session.run("python", "-m", "venv", "--clear", str(empty))
    python = str(empty / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cli]", external=True)
    session.run(python, "-m", "happyhorse_async", "providers", external=True)
    _write_sbom(session, python)


def _write_sbom(session: nox.Session, python: str) -> None:
    # Not in dist/: all that is there is uploaded to PyPI.
    bill = Path("sbom") / f"happyhorse-async-{PROJECT['project']['version']}.cdx.json"
    bill.parent.mkdir(exist_ok=True)
    options = ("--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible", "--validate")
    session.run("cyclonedx-py", "environment", *options, "--output-file", str(bill), python)
