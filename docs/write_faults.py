"""
Write docs/faults.md: the catalogue of docs/faults.toml, the emulator's faults, and the tests that show them.

A test shows a row of the catalogue when `@pytest.mark.fault(number)` stands at it, or at one of its parameters. Run
this file after a change of any of the three; a test in tests/docs fails where it was forgotten.
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

What can go wrong on the way to a video, what is promised then, and the tests that show it. Faults that a server can
commit are played by [the emulator](emulator.md#faults), for your tests as well as for these.

Beside the tests of single rows, each run of the tests lives through thousands of simulated worlds, in which processes
die at any await, disks fail, answers are lost, lists mislead and callbacks come early, late, twice or forged; a world
that goes wrong names the seed that makes it again. The last long runs, on 2026-11-21:

| command | what was lived through | lost | paid twice |
| --- | --- | --- | --- |
| `HAPPYHORSE_SEEDS=10000 pytest tests/simulation/test_simulation.py` | 16,000 worlds, 42,927 tasks billed, 14,392 crashes at 61 places of the code | 0 | 0 |
| `HAPPYHORSE_KILLS=15 HAPPYHORSE_JOBS=200 pytest -s tests/journal/test_killed.py` | processes killed 15 times over 3,200 jobs, without an idempotency key: 3,168 known, 32 openly unknown | 0 | 0 |
| the same, with an idempotency key | 3,200 known, 0 unknown | 0 | 0 |

In the table below, S is the paid request, P a look at a task or another read, D a download, C a callback, X this machine.
"""
_SWITCHES = """\
## The emulator's faults

By name, for `Emulator.inject` and `happyhorse emulator --fault`. Unless it says otherwise, a submit was taken and
billed before anything goes wrong.
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
    """Write the page."""
    marked = tests()
    rows = [
        (str(number), row["on"], row["fault"], row["expected"], _played(row), _shown(row, marked.get(number, [])))
        for number, row in catalogue().items()
    ]
    presets = [
        (f"`{name}`", ", ".join(operation for operation in _order(switch.fault.operations)), switch.meaning)
        for name, switch in PRESETS.items()
    ]
    parts = (
        _OPENING,
        _table(("", "on", "fault", "what happens", "the emulator's", "tests"), rows),
        _SWITCHES,
        _table(("name", "on", "what it does"), presets),
    )
    return "\n".join(parts)


def _order(operations: frozenset[Any]) -> list[str]:
    every = [str(operation) for operation in type(next(iter(operations)))]
    return [_EVERYWHERE] if len(operations) == len(every) else [name for name in every if name in operations]


def _played(row: Mapping[str, Any]) -> str:
    return "<br>".join(f"`{name}`" for name in row.get("switch", ()))


def _shown(row: Mapping[str, Any], marked: list[str]) -> str:
    notes = [f"*{row[key]}*" for key in ("missing", "partly") if key in row]
    notes += [f"*the business of {row['elsewhere']}*"] if "elsewhere" in row else []
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
