"""The Chinese pages have the commands, the code and the links of the English ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAIRS = {"README.md": "README.zh-CN.md", "docs/quickstart.md": "docs/quickstart.zh-CN.md"}
# A test runs a block by the mark before it, so the mark is a part of it.
_BLOCK = re.compile(r"(?:^<!-- [\w ]+ -->\n)?^```.*?^```$|^<!-- invisible-code-block.*?^-->$", re.MULTILINE | re.DOTALL)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize(("english", "chinese"), PAIRS.items())
def test_a_translation_has_the_blocks_of_its_original(english: str, chinese: str) -> None:
    """Every command and every line of code is the same, in the same order."""
    assert _BLOCK.findall(_text(english)) == _BLOCK.findall(_text(chinese))


@pytest.mark.parametrize(("english", "chinese"), PAIRS.items())
def test_a_translation_and_its_original_lead_to_each_other(english: str, chinese: str) -> None:
    """A reader of one finds the other."""
    assert f"{Path(english).name})" in _text(chinese)
    assert Path(chinese).name in _text(english)


@pytest.mark.parametrize("chinese", PAIRS.values())
def test_every_paragraph_of_a_translation_is_translated(chinese: str) -> None:
    """Outside of blocks and tables no paragraph is left in English, but for the link to the original."""
    prose = _BLOCK.sub("", _text(chinese)).split("\n\n")
    paragraphs = [
        part.strip() for part in prose if part.strip() and not part.strip().startswith(("|", "<!--", "[English]"))
    ]

    assert {"# happyhorse-async"} >= {part for part in paragraphs if not _CHINESE.search(part)}


@pytest.mark.parametrize("chinese", PAIRS.values())
def test_the_links_of_a_translation_lead_somewhere(chinese: str) -> None:
    """Each link into the repository names a file of it."""
    repository = "https://github.com/happyhorse-async/happyhorse-async/blob/main/"
    raw = "https://raw.githubusercontent.com/happyhorse-async/happyhorse-async/main/"
    links = re.findall(r"\]\(([^)\s#]+)", _text(chinese))
    paths = [ROOT / link.removeprefix(repository).removeprefix(raw) if "://" in link else (ROOT / chinese).parent / link
             for link in links]  # fmt: skip

    assert paths
    assert [] == [str(path) for path in paths if not path.is_file()]
