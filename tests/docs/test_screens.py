"""The picture of the command line shows what the commands print."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def screens() -> ModuleType:
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals of this kind")
    spec = importlib.util.spec_from_file_location("write_screens", DOCS / "write_screens.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _masked(text: str) -> list[str]:
    """Return the lines without what differs from run to run: bars, ids, times and sizes."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    lines = (line for line in text.splitlines() if "\u2501" not in line)
    return [re.sub(r"\d+(?:[.:]\d+)*", "N", line).rstrip() for line in lines]


def test_the_picture_of_the_command_line_is_of_a_run(screens: ModuleType) -> None:
    """After a change of the output, `python docs/write_screens.py` draws it anew."""
    drawn = ET.parse(screens.PICTURE).findtext("{http://www.w3.org/2000/svg}desc")

    assert drawn is not None
    assert _masked(drawn) == _masked(screens.session().plain)


def test_the_picture_of_the_command_line_needs_no_other_host(screens: ModuleType) -> None:
    """It is shown by sites that load nothing for a picture, and by readers that are offline."""
    picture = screens.PICTURE.read_text("utf-8")

    assert re.findall(r"(?:@import|@font-face|href=|url\((?!#))", picture) == []
