"""
Traces of one video on the console: the job, its submit, its polls and the download, below the span of the application.

Install `happyhorse-async[otel]` and `opentelemetry-sdk`. Run it beside a `happyhorse.toml`, or with
`HAPPYHORSE_PROVIDER` and a key set. A real application sends its spans to a collector instead of the console.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor, SpanExportResult

import happyhorse_async as hh


class TreeExporter(ConsoleSpanExporter):
    """Writes the spans of a trace as a tree, once its first span has ended. The console exporter itself writes JSON."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out=out)
        self._below: defaultdict[int | None, list[ReadableSpan]] = defaultdict(list)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            self._below[None if span.parent is None else span.parent.span_id].append(span)
        for first in self._below.pop(None, []):
            self._write(first, 0, {})
        self.out.flush()
        return SpanExportResult.SUCCESS

    def _write(self, span: ReadableSpan, depth: int, known: dict[str, object]) -> None:
        seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
        told = dict(span.attributes or {})
        known.pop("happyhorse.task.status", None)
        new = " ".join(f"{name}={value}" for name, value in told.items() if known.get(name) != value)
        self.out.write(f"{'  ' * depth}{span.name} ({seconds:.2f} s) {new}".rstrip() + "\n")
        context = span.get_span_context()
        below = self._below.pop(0 if context is None else context.span_id, [])
        for child in sorted(below, key=lambda one: one.start_time or 0):
            self._write(child, depth + 1, {**known, **told})


def export_to(out: TextIO) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "videos"}))
    provider.add_span_processor(SimpleSpanProcessor(TreeExporter(out)))
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
