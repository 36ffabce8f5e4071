"""How Sphinx builds these pages: `nox -s docs`. Nothing is fetched from the network."""

from __future__ import annotations

import inspect
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import NOTHING, Factory, fields_dict, has

sys.path.insert(0, str(Path(__file__).parent))

from page_html import prepare
from site_files import finish

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "happyhorse-async"
author = "The happyhorse-async developers"
project_copyright = f"2026, {author}"
release = version = version_of("happyhorse-async")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_templates"]

myst_heading_anchors = 3

html_theme = "furo"
# The version is in the menu below it: `nox -s docs` gives "dev" for a checkout.
html_title = project
html_favicon = "../happyhorse_async/studio/static/icon.svg"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("versions.js", {"defer": "defer"})]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_theme_options = {
    "source_repository": "https://github.com/happyhorse-async/happyhorse-async/",
    "source_branch": "main",
    "source_directory": "docs/",
}

# The button copies what is typed, without prompts and without what is printed.
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"
copybutton_exclude = ".linenos, .go"

# The inventories are text in this repository and hold the names that these pages use.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "inventories/python.txt"),
    "aiohttp": ("https://docs.aiohttp.org/en/stable", "inventories/aiohttp.txt"),
}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
# One parameter a line where a signature is longer than this.
maximum_signature_line_length = 100
python_use_unqualified_type_names = True
# Docstrings write `code` between single backticks.
default_role = "code"

_FENCE = re.compile(r"^```(\w+)$")
_PLURAL = re.compile(r"(`[^`]+`)(?=\w)")
# What attrs writes into the signature of an `__init__` that it generates.
_ATTRS_DEFAULT = re.compile(r"attr_dict\['(\w+)'\]\.default")
_ATTRS_FACTORY = re.compile(r"\b(\w+): ([^=]+?) = NOTHING")


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


def _readable_signature(cls: Any, signature: str | None) -> str | None:
    """Write the defaults of an attrs class as its source has them."""
    if signature is None or not (inspect.isclass(cls) and has(cls)):
        return signature
    attributes = fields_dict(cls)

    def default_of(name: str) -> str:
        default = attributes[name].default if name in attributes else attributes[f"_{name}"].default
        if default is NOTHING:
            return "..."
        if isinstance(default, Factory):
            return "..." if default.takes_self else _shown(default.factory())
        return _shown(default)

    signature = _ATTRS_DEFAULT.sub(lambda found: default_of(found[1]), signature)
    return _ATTRS_FACTORY.sub(lambda found: f"{found[1]}: {found[2]} = {default_of(found[1])}", signature)


def _shown(default: object) -> str:
    text = repr(default)
    # A time or an object whose repr is no expression depends on when it is made.
    plain = (type(None), bool, int, float, str, tuple, dict, list, frozenset)
    return text if isinstance(default, plain) and len(text) < 40 else "..."


def setup(app: Sphinx) -> None:
    """Hook the above into the build."""
    app.connect("build-finished", finish)
    app.connect("html-page-context", prepare, priority=900)
    app.connect("autodoc-process-docstring", lambda *facts: _write_rst(facts[-1]))
    app.connect(
        "autodoc-process-signature",
        lambda _app, _what, _name, cls, _options, signature, returned: (
            _readable_signature(cls, signature),
            returned,
        ),
    )
