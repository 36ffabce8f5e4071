"""
The folder that is hosted: a folder for each version of the documentation, and what leads from one to another.

    index.html     to the newest release, or to dev where there is none
    versions.js    which versions there are, and the pages of each; every page of every version reads it
    dev/  0.1.0/   what Sphinx built from a checkout, and from the tag of a release

All links are relative, so that it works from a disk and under any address. A release is built once: its folder stays.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

DEV = "dev"
_TAG = re.compile(r"v(\d+(?:\.\d+)*)")
_START = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>happyhorse-async</title>
<link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0; url={0}/index.html">
<link rel="canonical" href="{0}/index.html">
<p><a href="{0}/index.html">happyhorse-async {0}</a></p>
</html>
"""


def releases(tags: list[str]) -> list[str]:
    """Return the versions that *tags* name, the newest first. Tags of anything but a final release are left out."""
    found = [match[1] for tag in tags if (match := _TAG.fullmatch(tag))]
    return sorted(found, key=lambda version: tuple(map(int, version.split("."))), reverse=True)


def assemble(site: Path) -> list[str]:
    """Write the start page and `versions.js` for the versions that are built in *site*, and return these."""
    built = [file.parent.name for file in site.glob("*/index.html")]
    final = releases([f"v{name}" for name in built])
    versions = [*final, *([DEV] if DEV in built else [])]
    pages = {version: _pages(site / version) for version in versions}
    facts = {"versions": versions, "latest": final[0] if final else None, "pages": pages}
    (site / "versions.js").write_text(f"window.happyhorseVersions = {json.dumps(facts)};\n", "utf-8")
    start = final[0] if final else DEV
    (site / "index.html").write_text(_START.format(start), "utf-8")
    shutil.copyfile(site / start / "llms.txt", site / "llms.txt")
    return versions


def _pages(folder: Path) -> list[str]:
    found = (file.relative_to(folder).as_posix() for file in folder.rglob("*.html"))
    return sorted(name.removesuffix(".html") for name in found if not name.startswith(("_modules/", "_static/")))
