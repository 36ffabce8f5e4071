"""
Traces of one video on the console: the job, its submit, its polls and the download, below the span of the application.

Install `happyhorse-async[otel]` and `opentelemetry-sdk`. Run it beside a `happyhorse.toml`, or with
`HAPPYHORSE_PROVIDER` and a key set. A real application sends its spans to a collector instead of the console.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TextIO

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import happyhorse_async as hh


def show(span: ReadableSpan) -> str:
    """Write a span as one line. Without a formatter, the exporter writes all of it as JSON."""
    parent = "" if span.parent is None else f" below {trace.format_span_id(span.parent.span_id)}"
    context = span.get_span_context()
    name = "" if context is None else trace.format_span_id(context.span_id)
    seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    return f"{name}{parent}: {span.name}, {seconds:.2f} s, {dict(span.attributes or {})}\n"


def export_to(out: TextIO) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "videos"}))
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=out, formatter=show)))
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
