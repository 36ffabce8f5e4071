"""The plots of the documentation, from the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"
_OURS, _THEIRS, _GOAL = "#1f6f8b", "#b8b8b8", "#c0392b"


def draw(results: dict[str, Any]) -> None:
    """Draw what there are results for."""
    # Text stays text, and a second run on the same figures gives the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9})
    FOLDER.mkdir(exist_ok=True)
    if "shapes" in results:
        _shapes(results["shapes"])
    if "steady" in results:
        _steady(results["steady"])
    if "growth" in results:
        _growth(results["growth"])
    if "journal" in results.get("cluster", {}):
        _cluster(results["cluster"])
    if "status_query" in results:
        _queries(results["status_query"])


def _shapes(found: dict[str, Any]) -> None:
    names = [name.removesuffix(", pages of 50") for name in found if name.endswith(", pages of 50")]
    figure = Figure(figsize=(9, 5), layout="constrained")
    columns = -(-len(names) // 2)
    panels = figure.subplots(2, columns).flat
    for unused in panels[len(names) :]:
        unused.set_visible(False)
    for axes, name in zip(panels, names, strict=False):
        fixed = found[f"{name}, pages of 50"]["fixed"].values()
        axes.plot(
            [run["requests_per_job"] for run in fixed],
            [run["p95"] for run in fixed],
            "o-",
            color=_THEIRS,
            label="fixed intervals",
        )
        for rows, marker in ((50, "o"), (10, "s")):
            ours = found[f"{name}, pages of {rows}"]["ours"]
            label = f"happyhorse_async, pages of {rows}"
            axes.plot(ours["requests_per_job"], ours["p95"], marker, color=_OURS, label=label)
        axes.set_title(name)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        _bare(axes)
    figure.supxlabel("requests per finished job")
    figure.supylabel("95th percentile of the delay, s")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    _save(figure, "shapes")


def _steady(found: dict[str, Any]) -> None:
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    names = list(found["100"])
    for row, (in_flight, clients) in zip(figure.subplots(2, 3), found.items(), strict=False):
        measures = {
            "lost, of 100 jobs": lambda run: 100 * run["lost"] / run["jobs"],
            "requests per job": lambda run: run["requests_per_job"],
            "p95 of the delay, s": lambda run: run["p95"],
        }
        for axes, (title, measure) in zip(row, measures.items(), strict=True):
            shown = [name for name in reversed(names) if name in clients]
            colours = [_OURS if name.startswith("happyhorse") else _THEIRS for name in shown]
            figures = [measure(clients[name]) for name in shown]
            bars = axes.barh(shown, [figure or 0 for figure in figures], color=colours)
            labels = ["no end was noticed" if figure is None else f"{figure:.3g}" for figure in figures]
            axes.bar_label(bars, labels, padding=2, fontsize=8)
            axes.set_title(f"{title} ({in_flight} in flight)", fontsize=8)
            axes.margins(x=0.2)
            axes.tick_params(axis="y", labelsize=7, labelleft=axes is row[0])
            _bare(axes)
    _save(figure, "steady")


def _growth(found: dict[str, Any]) -> None:
    figure = Figure(figsize=(5, 2.4), layout="constrained")
    axes = figure.subplots()
    costs = {int(count): cost for count, cost in found["microseconds"].items()}
    axes.semilogx(list(costs), list(costs.values()), "o-", color=_OURS, label="one poll")
    axes.axhline(1.5 * min(costs.values()), color=_GOAL, linestyle=":", label="1.5 times the lowest")
    axes.set_xlabel("tasks in flight")
    axes.set_ylabel("µs of CPU")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    _bare(axes)
    _save(figure, "growth")


def _cluster(found: dict[str, Any]) -> None:
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, kind, title in zip(panels, ("postgres", "sqlite"), ("PostgreSQL", "SQLite"), strict=False):
        sizes = found["journal"][kind]
        for operation in ("open", "enqueue one", "take over 200"):
            milliseconds = [figures[operation] for figures in sizes.values()]
            axes.loglog([int(size) for size in sizes], milliseconds, "o-", label=operation)
        axes.set_title(f"journal in {title}")
        axes.set_xlabel("open jobs")
        axes.set_ylabel("ms")
        axes.legend(frameon=False, fontsize=7)
        _bare(axes)
    axes, sizes = panels[2], found.get("growth", {})
    for name, label in (("cpu_per_job_ms", "all processes"), ("postgres_per_job_ms", "PostgreSQL")):
        axes.plot([int(size) for size in sizes], [run[name] for run in sizes.values()], "o-", label=label)
    axes.set_title("CPU of a job")
    axes.set_xlabel("workers")
    axes.set_ylabel("ms")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=7)
    _bare(axes)
    _save(figure, "cluster")


def _queries(found: dict[str, Any]) -> None:
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    ratios = {name: peer["ratio"] for name, peer in found["peers"].items()} | {"happyhorse_async": found["ratio"]}
    names = sorted(ratios, key=lambda name: -ratios[name])
    colours = [_OURS if name == "happyhorse_async" else _THEIRS for name in names]
    bars = axes.barh(names, [ratios[name] for name in names], color=colours)
    axes.bar_label(bars, [f"{ratios[name]:.1f}" for name in names], padding=2, fontsize=8)
    axes.axvline(1.0, color=_GOAL, linestyle=":", label="bare aiohttp, which reads the same response")
    axes.set_xlabel("CPU of one status query, as a multiple of bare aiohttp")
    axes.margins(x=0.1)
    figure.legend(loc="outside upper right", frameon=False)
    _bare(axes)
    _save(figure, "queries")


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, name: str) -> None:
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None}, transparent=False)
