"""
Traces of one video on the console: the job, its submit, its polls and the download, below the span of the application.

Install `happyhorse-async[otel]` and `opentelemetry-sdk`. Run it beside a `happyhorse.toml`, or with
`HAPPYHORSE_PROVIDER` and a key set. A real application sends its spans to a collector instead of the console.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import happyhorse_async as hh


class Tree:
    """Writes the spans of a trace as a tree, once its first span has ended. Without it, each is written as JSON."""

    def __init__(self) -> None:
        self._below: defaultdict[int | None, list[ReadableSpan]] = defaultdict(list)

    def __call__(self, span: ReadableSpan) -> str:
        if span.parent is None:
            return "".join(self._lines(span, 0, {}))
        self._below[span.parent.span_id].append(span)
        return ""

    def _lines(self, span: ReadableSpan, depth: int, known: dict[str, object]) -> Iterator[str]:
        seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
        told = dict(span.attributes or {})
        new = " ".join(f"{name}={value}" for name, value in told.items() if known.get(name) != value)
        yield f"{'  ' * depth}{span.name} ({seconds:.2f} s) {new}".rstrip() + "\n"
        context = span.get_span_context()
        below = self._below.pop(0 if context is None else context.span_id, [])
        inherited = {name: value for name, value in told.items() if name != "happyhorse.task.status"}
        for child in sorted(below, key=lambda one: one.start_time or 0):
            yield from self._lines(child, depth + 1, {**known, **inherited})


def export_to(out: TextIO) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "videos"}))
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=out, formatter=Tree())))
    trace.set_tracer_provider(provider)


async def main(client: hh.Client, file: Path) -> None:
    tracer = trace.get_tracer("videos")
    async with client:
        with tracer.start_as_current_span("make a video"):
            task = await client.generate(hh.TextToVideo("A cardboard train at night", resolution="720P", duration=5))
            await client.download(task, file)


if __name__ == "__main__":
    export_to(sys.stdout)
    asyncio.run(main(hh.Client.from_config(), Path("train.mp4")))
