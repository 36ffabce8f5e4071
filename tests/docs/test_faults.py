"""The page on faults agrees with the catalogue, the emulator's faults and the tests."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from happyhorse_async.emulator.faults import PRESETS

REQUIRED = {"fault", "on", "expected"}
OPTIONAL = {"switch", "missing", "partly", "elsewhere"}

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def writer() -> dict[str, Any]:
    """Load what writes the page."""
    return runpy.run_path(str(DOCS / "write_faults.py"))


def test_the_page_is_up_to_date(writer: dict[str, Any]) -> None:
    """The page is what docs/write_faults.py writes."""
    assert writer["page"]() == (DOCS / "faults.md").read_text("utf-8"), "run docs/write_faults.py"


def test_every_row_is_there(writer: dict[str, Any]) -> None:
    """The catalogue has its 109 rows, in order, each with what it says and what is expected."""
    catalogue = writer["catalogue"]()

    assert list(range(1, 110)) == list(catalogue)
    for number, row in catalogue.items():
        assert REQUIRED <= row.keys() <= REQUIRED | OPTIONAL, number
        assert set(row["on"].split()) <= set("SPDUCX"), number


def test_every_row_has_a_test_or_says_why_not(writer: dict[str, Any]) -> None:
    """A row without a test says what is missing, one with tests does not, and every mark is of some row."""
    tests, catalogue = writer["tests"](), writer["catalogue"]()
    unexcused = [number for number, row in catalogue.items() if not row.keys() & {"missing", "elsewhere"}]

    assert [] == [number for number in unexcused if not tests.get(number)]
    assert [] == [number for number, row in catalogue.items() if "missing" in row and tests.get(number)]
    assert set() == tests.keys() - catalogue.keys()


def test_every_fault_of_the_emulator_is_in_a_row(writer: dict[str, Any]) -> None:
    """Each named fault plays a row of the catalogue, and no row names one that there is not."""
    named = {name for row in writer["catalogue"]().values() for name in row.get("switch", ())}

    assert set(PRESETS) == named
