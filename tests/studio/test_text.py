"""The texts of the page."""

from __future__ import annotations

import re
from importlib.resources import files


def test_both_languages_say_everything() -> None:
    source = (files("happyhorse_async.studio") / "static/js/text.js").read_text("utf-8")
    tables = re.findall(r"const (?:ENGLISH|CHINESE) = \{(.*?)\n\};", source, re.DOTALL)
    english, chinese = (dict(re.findall(r"(\w+): \"(.*?)\"", table)) for table in tables)

    assert english.keys() == chinese.keys()
    for name, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[name])), name


def test_every_text_that_the_page_asks_for_exists() -> None:
    folder = files("happyhorse_async.studio") / "static"
    known = set(re.findall(r"(\w+): \"", (folder / "js/text.js").read_text("utf-8")))
    page = (folder / "index.html").read_text("utf-8")
    asked = set(re.findall(r"data-text=\"(\w+)\"", page))
    for module in ("main", "make", "jobs", "media", "settle"):
        asked |= set(re.findall(r"text\(\"(\w+)\"", (folder / f"js/{module}.js").read_text("utf-8")))

    assert asked - known == set()
