"""How Sphinx builds these pages: `nox -s docs`."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "happyhorse-async"
author = "The happyhorse-async developers"
project_copyright = f"2026, {author}"
release = version = version_of("happyhorse-async")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

myst_heading_anchors = 3

html_theme = "furo"
html_title = f"happyhorse-async {release}"
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
# Docstrings write `code` between single backticks.
default_role = "code"

_FENCE = re.compile(r"^```(\w+)$")
_PLURAL = re.compile(r"(`[^`]+`)(?=\w)")


def _write_rst(lines: list[str]) -> None:
    """Turn what docstrings have of Markdown into what Sphinx reads: fenced blocks of code, and a `Thing`s."""
    written: list[str] = []
    inside = False
    for line in lines:
        if opening := _FENCE.match(line):
            inside = True
            written += [f".. code-block:: {opening[1]}", ""]
        elif inside and line == "```":
            inside = False
            written.append("")
        elif inside:
            written.append(f"   {line}".rstrip())
        else:
            written.append(_PLURAL.sub(r"\1\\ ", line))
    lines[:] = written


def setup(app: Sphinx) -> None:
    """Hook the above into the build."""
    app.connect("autodoc-process-docstring", lambda *facts: _write_rst(facts[-1]))
