"""
What the build of the site does beside the pages: it writes `llms.txt`, and checks every internal link.

`llms.txt` lists the pages for programs that read them (https://llmstxt.org/). A link that leads nowhere is a warning, so
that `nox -s docs` fails.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sphinx.addnodes import toctree
from sphinx.util import logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

_log = logging.getLogger(__name__)


def write_llms_txt(app: Sphinx) -> str:
    """Return the text of `llms.txt`: the sections of the start page, and the first sentence of each page."""
    index = app.env.get_doctree(app.config.root_doc)
    lines = [f"# {app.config.project}", "", f"> {_summary(app, app.config.root_doc)}"]
    for tree in index.findall(toctree):
        lines += ["", f"## {tree['caption']}", ""]
        for _, name in tree["entries"]:
            title = app.env.titles[name].astext()
            summary = _summary(app, name)
            lines.append(f"- [{title}]({app.builder.get_target_uri(name)})" + (f": {summary}" if summary else ""))
    return "\n".join(lines) + "\n"


def _summary(app: Sphinx, name: str) -> str:
    text = app.env.doc2path(name).read_text("utf-8")
    paragraphs = (
        part.strip() for part in re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL).split("\n\n")
    )
    prose = next((part for part in paragraphs if re.match(r"[\w`*\"]", part)), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(prose.split()))
    return re.split(r"(?<=[.。])\s", plain)[0].rstrip(":")


class _Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors = {"", "top"}
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")
            elif name in ("href", "src"):
                self.links.add(value or "")


def broken_links(folder: Path) -> Iterator[str]:
    """Name each link between files of *folder* whose file or anchor does not exist."""
    pages = {file.resolve(): _read(file) for file in sorted(folder.rglob("*.html"))}
    for file, page in pages.items():
        # Sphinx writes the pages of the source, and leads back from a name to where it could have been documented.
        if "_modules" in file.parts:
            continue
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not target.is_file():
                yield f"{file.relative_to(folder.resolve())}: {link} leads to no file"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{file.relative_to(folder.resolve())}: {link} leads to no anchor"


def _read(file: Path) -> _Page:
    page = _Page()
    page.feed(file.read_text("utf-8"))
    return page


def finish(app: Sphinx, error: Exception | None) -> None:
    """Complete a build that succeeded."""
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    (folder / "llms.txt").write_text(write_llms_txt(app), "utf-8")
    for broken in broken_links(folder):
        _log.warning(broken)
