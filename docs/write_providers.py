"""
Write the tables of providers from the adapters that this project registers.

Run this file after a change of an adapter's capabilities, and after adding an adapter: it rewrites the tables of
README.md and its translation, adapters/README.md, docs/index.md, docs/media.md, docs/providers/index.md and of each provider's page. A test in tests/docs
fails if it was forgotten.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import happyhorse_async as hh
from happyhorse_async.registry import find_adapter

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")

# Others may be installed beside our own.
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_POINTS: dict[str, str] = _PROJECT["entry-points"]["happyhorse_async.adapters"]
_SERVERS: dict[str, str] = _PROJECT["entry-points"]["happyhorse_async.emulated_apis"]
ADAPTERS = [find_adapter(name) for name in sorted(_POINTS)]
# A package index shows the README without the repository around it.
_REPOSITORY = f"{_PROJECT['urls']['Source']}/blob/main/"
_NONE = "\N{EN DASH}"
_MODES = {
    hh.Mode.T2V: "text to video",
    hh.Mode.I2V: "image to video",
    hh.Mode.R2V: "reference to video",
    hh.Mode.EDIT: "video edit",
}


def _versions(models: Iterable[hh.ModelSpec]) -> str:
    return ", ".join(sorted({spec.version for spec in models})) or _NONE


def _of(adapter: hh.Adapter, mode: hh.Mode) -> list[hh.ModelSpec]:
    return [spec for spec in adapter.capabilities.models if spec.mode is mode]


def _yes(able: bool) -> str:
    return "yes" if able else _NONE


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def readme_table() -> str:
    """Return the table of the README: modes, versions and operations of every adapter."""
    head = ("adapter", *hh.Mode, "list", "cancel", "callback URL", "key from")
    rows = [
        (
            f"[`{adapter.name}`]({_REPOSITORY}docs/providers/{adapter.name}.md)",
            *(_versions(_of(adapter, mode)) for mode in hh.Mode),
            *(_yes(able) for able in (adapter.capabilities.can_list, adapter.capabilities.can_cancel)),
            _yes(adapter.capabilities.callbacks),
            f"`{adapter.api_key_env}`",
        )
        for adapter in ADAPTERS
    ]
    return "\n".join(_row(*cells) for cells in (head, ["---"] * len(head), *rows))


def _by_version(adapter: hh.Adapter, what: Callable[[hh.ModelSpec], Iterable[str]]) -> str:
    """List all values, each with the versions that have it unless all versions do."""
    models = [spec for spec in adapter.capabilities.models if tuple(what(spec))]
    everywhere = {spec.version for spec in models}
    values = dict.fromkeys(value for spec in models for value in what(spec))
    shown: list[str] = []
    for value in values:
        having = {spec.version for spec in models if value in what(spec)}
        shown.append(value if having == everywhere else f"{value} ({', '.join(sorted(having))})")
    return ", ".join(shown) or _NONE


def _span(values: range) -> str:
    return f"{values[0]} to {values[-1]}" if len(values) > 1 else str(values[0])


def _images(adapter: hh.Adapter, mode: hh.Mode) -> str:
    return next((_span(spec.images) for spec in _of(adapter, mode)), _NONE)


def _option(adapter: hh.Adapter, has: Callable[[hh.ModelSpec], bool]) -> str:
    models = adapter.capabilities.models
    having = [spec for spec in models if has(spec)]
    versions = _versions(having)
    return "yes" if versions == _versions(models) else versions if not having else f"{versions} only"


def _forms(adapter: hh.Adapter, forms: Callable[[hh.ModelSpec], Iterable[hh.MediaForm]]) -> str:
    found = {form for spec in adapter.capabilities.models if spec.mode is not hh.Mode.T2V for form in forms(spec)}
    return ", ".join(form.value for form in hh.MediaForm if form in found)


def _tasks_at_once(adapter: hh.Adapter) -> str:
    limits = adapter.limits
    if limits.max_running is None:
        return _NONE
    apart = ", per model" if adapter.limits_per_model else ""
    return f"{limits.max_running}, and {limits.max_queued or 0} that wait{apart}"


def _interval(adapter: hh.Adapter) -> str:
    first, last = adapter.poll.interval or 0, adapter.poll.max_interval
    return f"{first:g} s" if last is None else f"{first:g} s, growing to {last:g} s"


_FACTS: dict[str, Callable[[hh.Adapter], str]] = {
    "resolutions": lambda adapter: _by_version(adapter, lambda spec: spec.resolutions),
    "ratios": lambda adapter: _by_version(adapter, lambda spec: spec.ratios),
    "seconds": lambda adapter: _span(adapter.capabilities.models[0].durations),
    "`seed`": lambda adapter: _option(adapter, lambda spec: spec.seed),
    "`watermark`": lambda adapter: _option(adapter, lambda spec: spec.watermark),
    "`audio` of an edit": lambda adapter: _yes(any(spec.audio for spec in adapter.capabilities.models)),
    "reference images": lambda adapter: _images(adapter, hh.Mode.R2V),
    "images beside an edit": lambda adapter: _images(adapter, hh.Mode.EDIT),
    "an image is given as": lambda adapter: _forms(adapter, lambda spec: spec.image_forms),
    "list": lambda adapter: _yes(adapter.capabilities.can_list),
    "cancel": lambda adapter: _yes(adapter.capabilities.can_cancel),
    "callback URL": lambda adapter: _yes(adapter.capabilities.callbacks),
    "idempotency key": lambda adapter: _yes(adapter.capabilities.idempotent),
    "polls every": _interval,
    "queries per second": lambda adapter: f"{adapter.limits.queries_per_second:g}",
    "submits per second": lambda adapter: f"{adapter.limits.submits_per_second:g}",
    "tasks at once": _tasks_at_once,
    "polls for up to": lambda adapter: f"{adapter.task_ttl / 3600:g} h",
    "regions": lambda adapter: ", ".join(adapter.regions) or _NONE,
    "options": lambda adapter: ", ".join(f"`{name}`" for name in sorted(adapter.option_names)) or _NONE,
    "key from": lambda adapter: f"`{adapter.api_key_env}`",
}


def matrix() -> str:
    """Return the table of docs/providers/index.md: what each provider can do."""
    head = ("", *(f"[`{adapter.name}`]({adapter.name}.md)" for adapter in ADAPTERS))
    modes = [(name, *(_versions(_of(adapter, mode)) for adapter in ADAPTERS)) for mode, name in _MODES.items()]
    facts = [(fact, *(find(adapter) for adapter in ADAPTERS)) for fact, find in _FACTS.items()]
    return "\n".join(_row(*cells) for cells in (head, ["---"] * len(head), *modes, *facts))


def media_table() -> str:
    """Return the table of docs/media.md: how each provider takes images and videos."""
    head = ("provider", "mode", "medium", "URL", "`data:` URI", "local file", "limits of a local file")
    rows = [row for adapter in ADAPTERS for spec in _newest(adapter) for row in _media_rows(adapter, spec)]
    return "\n".join(_row(*cells) for cells in (head, ["---"] * len(head), *rows))


def _newest(adapter: hh.Adapter) -> list[hh.ModelSpec]:
    return [_of(adapter, mode)[0] for mode in hh.Mode if mode is not hh.Mode.T2V and _of(adapter, mode)]


def _upload(spec: hh.ModelSpec) -> str:
    if spec.upload_form:
        return "upload"
    return "upload with `upload = true`" if spec.optional_upload_form else ""


def _media_rows(adapter: hh.Adapter, spec: hh.ModelSpec) -> Iterable[tuple[str, ...]]:
    start = (f"[`{adapter.name}`](providers/{adapter.name}.md)", _MODES[spec.mode])
    if spec.mode is hh.Mode.EDIT:
        upload = _upload(spec)
        limits = _video_limits(spec.video_limits) if upload else _NONE
        yield (*start, "video", *_given(spec.video_forms), upload or _NONE, limits)
    ways = [f"inside the request up to {spec.inline_limit / 2**20:g} MiB"] if spec.inline_limit else []
    if spec.optional_inline_limit:
        ways.append(f"up to {spec.optional_inline_limit / 2**20:g} MiB with `inline_media = true`")
    ways += filter(None, [_upload(spec)])
    limits = _picture_limits(spec.picture_limits) if ways else _NONE
    yield (*start, "image", *_given(spec.image_forms), ", else ".join(ways) or _NONE, limits)


def _given(forms: Iterable[hh.MediaForm]) -> tuple[str, str]:
    return _yes(hh.MediaForm.URL in forms), _yes(hh.MediaForm.DATA_URI in forms)


def _picture_limits(limits: hh.PictureLimits | None) -> str:
    if limits is None:
        return _NONE
    doubt = " (upstream's: a warning)" if limits.is_hearsay else ""
    figures = [", ".join(sorted(limits.formats))]
    figures += [f"{limits.megabytes:g} MB"] if limits.megabytes else []
    figures += [f"sides from {limits.side}{doubt}"] if limits.side else []
    figures += [f"ratio up to {limits.ratio:g}:1{doubt}"] if limits.ratio else []
    return f"{'; '.join(figures)} ([source]({limits.source}))"


def _video_limits(limits: hh.VideoLimits | None) -> str:
    if limits is None:
        return _NONE
    figures = [", ".join(sorted(limits.formats))]
    figures += [f"{limits.megabytes:g} MB"] if limits.megabytes else []
    figures += ["{:g} to {:g} s".format(*limits.durations)] if limits.durations else []
    figures += [f"sides {limits.shorter_side} to {limits.longer_side}"] if limits.shorter_side else []
    figures += [f"more than {limits.frame_rate:g} frames a second"] if limits.frame_rate else []
    return f"{'; '.join(figures)} ([source]({limits.source}))"


def model_table(adapter: hh.Adapter) -> str:
    """Return the table of models on the page of a provider."""
    head = ("mode", "version", "model")
    rows = [(spec.mode, spec.version, f"`{spec.model}`") for spec in adapter.capabilities.models]
    return "\n".join(_row(*cells) for cells in (head, ["---"] * 3, *rows))


def folder_table() -> str:
    """Return the table of adapters/README.md: where each adapter and its emulated API are."""
    head = ("provider", "client side", "server side, for the emulator")
    rows = [(adapter.title, _place(_POINTS[adapter.name]), _place(_SERVERS[adapter.name])) for adapter in ADAPTERS]
    return "\n".join(_row(*cells) for cells in (head, ["---"] * 3, *rows))


def _place(entry_point: str) -> str:
    path = entry_point.partition(":")[0].replace(".", "/")
    return f"`{path}/`" if (ROOT / "adapters" / path).is_dir() else f"`{path}.py`"


def pages() -> dict[Path, str]:
    """Return what each file is to contain."""
    written = {
        **{page: _table_after("<!-- providers -->", readme_table(), page) for page in READMES},
        ROOT / "adapters" / "README.md": _table_after("<!-- folders -->", folder_table(), ROOT / "adapters/README.md"),
        DOCS / "media.md": _table_after("<!-- media -->", media_table(), DOCS / "media.md"),
        DOCS / "providers/index.md": _table_after("<!-- matrix -->", matrix(), DOCS / "providers/index.md"),
    }
    names = "".join(f"providers/{name}\n" for name in ("index", *sorted(_POINTS)))
    index = DOCS / "index.md"
    written[index] = re.sub(r"(?:^providers/\w+\n)+", names, index.read_text("utf-8"), count=1, flags=re.MULTILINE)
    for adapter in ADAPTERS:
        page = DOCS / "providers" / f"{adapter.name}.md"
        if page.exists():
            written[page] = _table_after("## Models\n", model_table(adapter), page)
    return written


def _table_after(mark: str, table: str, page: Path) -> str:
    before, found, after = page.read_text("utf-8").partition(f"{mark}\n")
    if not found:
        raise ValueError(f"{page} has no {mark!r}")
    return before + found + re.sub(r"\A(?:\|.*\n)*", lambda _: f"{table}\n", after, count=1)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
