"""
Write docs/faults.md: the catalogue of docs/faults.toml, the emulator's faults, and the tests that show them.

A test shows a row of the catalogue if it, or one of its parameters, is marked `@pytest.mark.fault(number)`. Run this
file after a change of any of the three; otherwise a test in tests/docs fails.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from happyhorse_async.emulator.faults import PRESETS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"

_OPENING = """\
<!-- Written by docs/write_faults.py from docs/faults.toml and the marks of the tests. Do not edit. -->

# Faults

What can go wrong, what the library does then, and the tests that show it. Faults of a server can be switched on in
[the emulator](emulator.md#faults), for your tests as well as for these.

Beside the tests of single rows, each run of the tests simulates thousands of programs in which processes are killed at
any await, disks fail, responses are lost, lists are wrong and webhooks come early, late, twice or forged. A failing
simulation prints the seed that repeats it. The last long runs, on 2026-11-21:

| command | what was simulated | lost | paid twice |
| --- | --- | --- | --- |
| `HAPPYHORSE_SEEDS=10000 pytest tests/simulation/test_simulation.py` | 16,000 simulations, 42,927 tasks billed, 14,392 crashes at 61 places of the code | 0 | 0 |
| `HAPPYHORSE_KILLS=15 HAPPYHORSE_JOBS=200 pytest -s tests/journal/test_killed.py` | processes killed 15 times over 3,200 jobs, without an idempotency key: 3,168 known, 32 marked as unknown | 0 | 0 |
| the same, with an idempotency key | 3,200 known, 0 unknown | 0 | 0 |

In the table below, S is the paid request, P a poll or another read, D a download, U an upload, C a webhook, X this machine.
"""
_SWITCHES = """\
## The emulator's faults

By name, for `Emulator.inject`, for `happyhorse emulator --fault` and for the [control API](emulator.md#over-http).
Unless it says otherwise, a submit was accepted and billed before anything goes wrong. Faults of proxies and of TLS are
not among them: the emulator is a server, and clients connect to it directly.
"""
_EVERYWHERE = "everything"


def catalogue() -> dict[int, dict[str, Any]]:
    """Read the rows of the catalogue by their numbers."""
    text = (ROOT / "docs" / "faults.toml").read_text("utf-8")
    return {int(number): row for number, row in tomllib.loads(text).items()}


def tests() -> dict[int, list[str]]:
    """Find the tests of each row, named `file::test`, in the order of the files."""
    found: dict[int, list[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        names = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for number in sorted({number for mark in node.decorator_list for number in _numbers(mark, names)}):
                    found.setdefault(number, []).append(f"{file.relative_to(ROOT / 'tests')}::{node.name}")
    return found


def _numbers(mark: ast.expr, names: Mapping[str, ast.expr]) -> Iterator[int]:
    for node in ast.walk(mark):
        if isinstance(node, ast.Name) and node.id in names:
            yield from _numbers(names[node.id], {name: value for name, value in names.items() if name != node.id})
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
            yield from (int(ast.literal_eval(argument)) for argument in node.args)


def page() -> str:
    """Return the text of the page."""
    marked = tests()
    rows = [
        (str(number), row["on"], row["fault"], row["expected"], _switches(row), _shown_by(row, marked.get(number, [])))
        for number, row in catalogue().items()
    ]
    presets = [
        (f"`{name}`", ", ".join(operation for operation in _order(fault.on)), fault.summary)
        for name, fault in PRESETS.items()
    ]
    parts = (
        _OPENING,
        _table(("", "on", "fault", "what happens then", "emulator", "tests"), rows),
        _SWITCHES,
        _table(("name", "on", "what it does"), presets),
    )
    return "\n".join(parts)


def _order(operations: frozenset[Any]) -> list[str]:
    every = [str(operation) for operation in type(next(iter(operations)))]
    return [_EVERYWHERE] if len(operations) == len(every) else [name for name in every if name in operations]


def _switches(row: Mapping[str, Any]) -> str:
    return "<br>".join(f"`{name}`" for name in row.get("switch", ()))


def _shown_by(row: Mapping[str, Any], marked: list[str]) -> str:
    notes = [f"*{row[key]}*" for key in ("missing", "partly") if key in row]
    notes += [f"*see {row['elsewhere']}*"] if "elsewhere" in row else []
    by_file: dict[str, list[str]] = {}
    for test in marked:
        file, _, name = test.partition("::")
        by_file.setdefault(file, []).append(f"`{name}`")
    return "<br>".join([*notes, *(f"{file}: {', '.join(names)}" for file, names in by_file.items())])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
