"""The tables of `docs/benchmarks.md`, from the results. The sentences between them are written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_END = "<!-- end -->"
# Below its table, so that the page has no plot that has not been drawn.
_CLUSTER_PLOT = """

```{image} benchmarks/cluster.svg
:alt: The time of journal operations by the number of open jobs, and the CPU time of a job by the number of workers
:class: plot
```"""
_NONE = "In this run every client ran a thousand jobs."


def write(results: dict[str, Any]) -> None:
    """Write the figures of *results* into the page. A table without results stays as it is."""
    text = PAGE.read_text("utf-8")
    for name, table in _tables(results):
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        assert mark, f"the page has no marker for {name}"
        text = f"{before}{mark}\n{table}\n\n{rest[rest.index(_END) :]}"
    PAGE.write_text(text, "utf-8")


def _tables(results: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "goals", _table(["measure", "goal", "measured", ""], _goals(results))
    if "steady" in results:
        for in_flight, found in results["steady"].items():
            yield f"steady {in_flight}", _steady(found)
    if "shapes" in results:
        yield "shapes", _shapes(results["shapes"])
    if "thousand" in results:
        yield "thousand", _thousand(results["thousand"])
        yield "fewer", _thousand(results["thousand"]["fewer"]) if "fewer" in results["thousand"] else _NONE
    if "whole_job" in results:
        yield "whole", _whole_job(results["whole_job"])
    if "waiting" in results:
        yield "waiting", _waiting(results["waiting"])
    if "status_query" in results and "imports" in results:
        yield "small", _small(results["status_query"]["microseconds"], results["imports"]["milliseconds"])
    if "status_query" in results:
        yield "queries", _queries(results["status_query"])
    if "lost_answer" in results:
        yield "lost", _lost(results["lost_answer"])
    if "cluster" in results:
        yield from _clusters(results["cluster"])
    yield "run", _run(results["run"])


def _goals(results: dict[str, Any]) -> Iterable[list[str]]:
    for measure, goal, limit, found, unit in _measured(results):
        yield [measure, goal, f"{found:.3g}{unit}", "reached" if found <= limit else "missed"]


def _measured(results: dict[str, Any]) -> Iterable[tuple[str, str, float, float, str]]:
    if "steady" in results:
        for in_flight, found in results["steady"].items():
            ours = [found[f"happyhorse_async, pages of {rows}"] for rows in (50, 10)]
            yield f"jobs lost, {in_flight} in flight", "0", 0, sum(run["lost"] for run in ours), ""
            refused = max(run["throttled_share"] for run in ours)
            yield f"requests answered 429, {in_flight} in flight", "≤ 1 %", 1, refused * 100, " %"
        for rows, price, delay in ((50, 3, 6), (10, 3.5, 12)):
            ours = results["steady"]["500"][f"happyhorse_async, pages of {rows}"]
            yield f"requests per finished job, pages of {rows}", f"≤ {price}", price, ours["requests_per_job"], ""
            yield f"95th percentile of the delay, pages of {rows}", f"≤ {delay} s", delay, ours["p95"], " s"
    if "shapes" in results:
        beaten = sum(_is_beaten(name, results["shapes"]) for name in results["shapes"])
        yield "loads in which a fixed interval is at least as good in every figure", "0", 0, beaten, ""
    if "status_query" in results:
        yield "CPU of one query, ratio to bare aiohttp", "≤ 1.5", 1.5, results["status_query"]["ratio"], ""
    if "thousand" in results:
        ours = results["thousand"]["clients"]["happyhorse_async"]
        yield "1,000 jobs of 6 s at once, wall time, ratio to bare aiohttp", "≤ 1.05", 1.05, ours["wall_ratio"], ""
        yield "the same, CPU", "≤ 1.5", 1.5, ours["cpu_ratio"], ""
    if "whole_job" in results:
        whole = results["whole_job"]
        yield (
            f"a whole job, submit and {whole['polls']} polls, CPU, ratio to bare aiohttp",
            "≤ 1.5",
            1.5,
            whole["ratio"],
            "",
        )
    if "lost_answer" in results:
        callers = results["lost_answer"]["callers"]
        ours_paid = [
            fate["paid"] for name, fates in callers.items() if name.startswith("happyhorse") for fate in fates.values()
        ]
        yield "bills for one call whose response is lost", "1", 1, max(ours_paid), ""
    if "waiting" in results:
        kinds = results["waiting"]["kinds"]
        worst = max(kinds[kind]["kilobytes"] for kind in ("resumed handle", "submitted handle"))
        yield f"memory of a waiting handle, of {results['waiting']['count']:,}", "≤ 3 KB", 3, worst, " KB"
    if "lag" in results:
        lag = results["lag"]
        yield f"event-loop lag, p99 above idle, {lag['count']:,} in flight", "≤ 10 ms", 10, lag["above_ms"], " ms"
    if "growth" in results:
        yield (
            "CPU of a poll, most to least expensive, 100 to 100,000 tasks",
            "≤ 1.5",
            1.5,
            results["growth"]["ratio"],
            "",
        )
    if "media" in results:
        media = results["media"]
        yield "event-loop lag, p99 above idle, 20 local pictures of 9 MB", "≤ 10 ms", 10, media["above_ms"], " ms"
        yield (
            "memory for a picture of 9 MB inside a request, ratio to its file",
            "≤ 2.5",
            2.5,
            media["inline_memory"],
            "",
        )
        yield "memory for an upload of 100 MB", "≤ 16 MB", 16, media["upload_memory_mb"], " MB"
        yield "time of an upload of 100 MB, ratio to bare aiohttp", "≤ 1.11", 1.11, media["upload_ratio"], ""
    if "imports" in results:
        yield "`import happyhorse_async` to `import aiohttp`", "≤ 0.6", 0.6, results["imports"]["ratio"], ""


def _steady(found: dict[str, Any]) -> str:
    heads = ["", "jobs", "lost", "answered 429", "requests per job", "mean delay", "p95", "client CPU"]
    return _table(
        heads,
        (
            [
                name,
                f"{run['jobs']:.0f}",
                f"{run['lost']:.0f}",
                f"{run['throttled_share']:.1%}",
                f"{run['requests_per_job']:.2f}",
                _seconds(run["mean"]),
                _seconds(run["p95"]),
                f"{run['cpu']:.1f} s",
            ]
            for name, run in found.items()
        ),
    )


def _seconds(figure: float | None) -> str:
    return "none" if figure is None else f"{figure:.1f} s"


def _shapes(found: dict[str, Any]) -> str:
    heads = [
        "load",
        "pages of",
        "requests per job",
        "mean delay",
        "p95",
        "requests of a fixed interval with the same p95",
        "p95 of one with as many requests",
    ]
    return _table(heads, (_shape(name, run, found) for name, run in found.items()))


def _shape(name: str, run: dict[str, Any], found: dict[str, Any]) -> list[str]:
    shape, _, rows = name.rpartition(", pages of ")
    ours, fixed = run["ours"], found[f"{shape}, pages of 50"]["fixed"].values()
    as_fast = [other["requests_per_job"] for other in fixed if other["p95"] <= ours["p95"]]
    as_cheap = [other["p95"] for other in fixed if other["requests_per_job"] <= ours["requests_per_job"]]
    return [
        shape,
        rows,
        f"{ours['requests_per_job']:.2f}",
        f"{ours['mean']:.1f} s",
        f"{ours['p95']:.1f} s",
        f"{min(as_fast):.2f} requests" if as_fast else "not possible",
        f"{min(as_cheap):.1f} s" if as_cheap else "not possible",
    ]


def _is_beaten(name: str, found: dict[str, Any]) -> bool:
    """Whether a fixed interval is at least as good in requests, in mean delay and in the slowest twentieth."""
    ours, fixed = found[name]["ours"], found[f"{name.rpartition(', ')[0]}, pages of 50"]["fixed"].values()
    figures = ("requests_per_job", "mean", "p95")
    return any(all(other[figure] <= ours[figure] for figure in figures) for other in fixed)


def _thousand(found: dict[str, Any]) -> str:
    heads = ["", "jobs", "wall", "ratio", "client CPU", "ratio", "requests per job", "lost"]
    return _table(
        heads,
        (
            [
                name,
                f"{found['count']:,}",
                f"{run['wall_s']:.2f} s",
                f"{run['wall_ratio']:.2f}",
                f"{run['cpu_s']:.2f} s",
                f"{run['cpu_ratio']:.2f}",
                f"{run['requests_per_job']:.1f}",
                f"{run['lost']:.0f}",
            ]
            for name, run in found["clients"].items()
        ),
    )


def _whole_job(found: dict[str, Any]) -> str:
    rows = [[name, f"{milliseconds:.1f} ms"] for name, milliseconds in found["milliseconds_per_job"].items()]
    return _table(["", "CPU of a whole job"], rows)


def _waiting(found: dict[str, Any]) -> str:
    heads = ["", "memory each", "idle CPU", "pause of a full collection"]
    return _table(
        heads,
        (
            [kind, f"{run['kilobytes']:.2f} KB", f"{run['idle_cpu']:.1%}", f"{run['collection_ms']:.0f} ms"]
            for kind, run in found["kinds"].items()
        ),
    )


def _small(queries: dict[str, float], imports: dict[str, float]) -> str:
    rows = [[f"one query: {name}", f"{cost:.0f} µs"] for name, cost in queries.items()]
    rows += [[f"`import {name}`", f"{cost:.0f} ms"] for name, cost in imports.items()]
    return _table(["", "CPU"], rows)


def _queries(found: dict[str, Any]) -> str:
    ours, baseline = (found["microseconds"][name] for name in ("happyhorse_async", "bare aiohttp"))
    clients = {"happyhorse_async": {"microseconds": ours, "bare": baseline, "ratio": found["ratio"]}, **found["peers"]}
    return _table(
        ["", "CPU of a query", "baseline", "ratio"],
        (
            [name, f"{run['microseconds']:.0f} µs", f"{run['bare']:.0f} µs", f"{run['ratio']:.1f}"]
            for name, run in clients.items()
        ),
    )


def _lost(found: dict[str, Any]) -> str:
    heads = ["", "no response: bills", "the caller gets", "a 500: bills", "the caller gets"]
    return _table(heads, ([name, *_fates(fates.values(), found["count"])] for name, fates in found["callers"].items()))


def _fates(fates: Iterable[dict[str, Any]], count: int) -> Iterable[str]:
    for found in fates:
        yield f"{found['paid']:.3g}"
        got = {f"`{what}`" if what.isidentifier() else what: often for what, often in found["got"].items()}
        yield ", ".join(what if often == count else f"{what} ({often} of {count})" for what, often in got.items())


def _clusters(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if {"cluster", "alone"} <= set(found):
        yield "cluster", _table(["measure", "goal", "measured", "", "with DBOS"], _cluster(found))
    if "growth" in found:
        yield "cluster-growth", _workers(found["growth"])
    if "journal" in found:
        yield "cluster-journal", _journal(found["journal"])


def _cluster(found: dict[str, Any]) -> Iterable[list[str]]:
    cluster, alone, dbos = found["cluster"], found["alone"], found.get("dbos")
    slowest = max(cluster["takeovers_s"], default=0)
    queued = max(cluster["queued_takeovers_s"], default=0)
    most = cluster["submit_limit"] + 1
    for measure, goal, limit, name, unit in (
        ("jobs lost", "0", 0, "lost", ""),
        ("jobs paid twice", "0", 0, "paid_twice", ""),
        ("jobs openly of unknown outcome", "≤ 1 %", 1, "unknown_percent", " %"),
        ("slowest takeover of what was in flight, after a kill", "≤ 3 s", 3, slowest, " s"),
        ("slowest takeover of what was queued", "≤ 3 s", 3, queued, " s"),
        ("status requests answered 429", "≤ 1 %", 1, "polls_429_percent", " %"),
        (f"busiest second of submits, {most - 1:g} allowed", "≤ the limit + 1", most, "busiest_second_of_submits", ""),
        ("status requests per job, pages of 50", "≤ 3", 3, "polls_per_job", ""),
        ("wake of 2,000 waiters in another process, p99", "≤ 150 ms", 150, "wake_p99_ms", " ms"),
        ("CPU per job, all processes, to one process on SQLite", "≤ 3", 3, found["cpu_ratio"], ""),
        ("the same with PostgreSQL's own", "none", float("inf"), found["cpu_ratio_with_postgres"], ""),
        ("idle worker, of a core", "≤ 0.2 %", 0.2, "idle_percent", " %"),
    ):
        figure = _figure(cluster, name) if isinstance(name, str) else name
        other = f"{_figure(dbos, name):.3g}{unit}" if dbos and isinstance(name, str) else ""
        yield [measure, goal, f"{figure:.3g}{unit}", "reached" if figure <= limit else "missed", other]
    cpu = f"{dbos['cpu_per_job_ms']:.1f} + {dbos['postgres_per_job_ms']:.1f} ms" if dbos else ""
    ours = f"{cluster['cpu_per_job_ms']:.1f} + {cluster['postgres_per_job_ms']:.1f} ms"
    yield ["CPU per job, processes and PostgreSQL", "", ours, "", cpu]
    yield ["one process on SQLite: CPU per job", "", f"{alone['cpu_per_job_ms']:.1f} ms", "", ""]
    late = ", ".join(f"{each:.1f} s" for each in cluster["takeovers_after_restart_s"]) or "none"
    yield ["takeovers in the 10 s after the restart", "", late, "", ""]


def _figure(found: dict[str, Any], name: str) -> float:
    return float(100 * found["unknown"] / found["jobs"] if name == "unknown_percent" else found[name])


def _workers(found: dict[str, Any]) -> str:
    heads = [
        "workers",
        "CPU per job",
        "PostgreSQL's CPU per job",
        "status requests per job",
        "wake, p99",
        "lost",
        "unknown",
    ]
    return _table(
        heads,
        (
            [
                workers,
                f"{run['cpu_per_job_ms']:.1f} ms",
                f"{run['postgres_per_job_ms']:.1f} ms",
                f"{run['polls_per_job']:.2f}",
                f"{run['wake_p99_ms']:.0f} ms",
                f"{run['lost']}",
                f"{run['unknown']}",
            ]
            for workers, run in found.items()
        ),
    )


def _journal(found: dict[str, Any]) -> str:
    names = {"postgres": "PostgreSQL", "sqlite": "SQLite"}
    sizes = list(found["sqlite"])
    rows = (
        [f"{names[kind]}: {operation}", *(f"{found[kind][size][operation]:.2f}" for size in sizes)]
        for kind in names
        for operation in found[kind][sizes[0]]
    )
    return _table(["milliseconds, by open jobs", *(f"{int(size):,}" for size in sizes)], rows) + _CLUSTER_PLOT


def _run(run: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    measured = run["measured"]
    minutes = sum(each["minutes"] for each in measured.values())
    quick = [f"`{name}`" for name, each in measured.items() if each["quick"]]
    quickly = f"; {', '.join(quick)} with `--quick`" if quick else ""
    return (
        f"These figures were measured on {run['date']} with `nox -s benchmarks` ({minutes:.0f} minutes{quickly}) on "
        f"{run['system']}, load average {run['load']}, Python {run['python']}, {versions}."
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
