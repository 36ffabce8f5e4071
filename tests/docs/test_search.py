"""A reader who searches the documentation for the usual word finds the page that treats it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"

PAGES = {
    "architecture": "architecture.md",
    "callback": "callbacks.md",
    "celery": "without-asyncio.md",
    "concurrency": "limits.md",
    "crash": "jobs.md",
    "django": "without-asyncio.md",
    "docker": "deploying.md",
    "dbos": "cluster.md",
    "durable": "examples.md",
    "error": "errors.md",
    "fal-client": "coming-from.md",
    "fastapi": "web-apps.md",
    "flask": "without-asyncio.md",
    "glossary": "glossary.md",
    "graceful": "deploying.md",
    "health": "deploying.md",
    "heartbeat": "web-apps.md",
    "idempotency": "jobs.md",
    "json": "web-apps.md",
    "jupyter": "without-asyncio.md",
    "keep-alive": "web-apps.md",
    "litestar": "web-apps.md",
    "logger": "logging.md",
    "logging": "logging.md",
    "metrics": "logging.md",
    "migrating": "coming-from.md",
    "mock": "testing.md",
    "msgspec": "web-apps.md",
    "notebook": "examples.md",
    "poll": "polling.md",
    "proxies": "deploying.md",
    "pydantic": "web-apps.md",
    "pytest": "testing.md",
    "queue": "jobs.md",
    "rate limit": "limits.md",
    "readiness": "deploying.md",
    "retries": "configuration.md",
    "retry": "errors.md",
    "s3": "examples.md",
    "secrets": "deploying.md",
    "server-sent events": "web-apps.md",
    "shutdown": "deploying.md",
    "sqlite": "deploying.md",
    "sse": "web-apps.md",
    "starlette": "web-apps.md",
    "sync": "without-asyncio.md",
    "taskiq": "examples.md",
    "telemetry": "logging.md",
    "threads": "without-asyncio.md",
    "uvicorn": "deploying.md",
    "webhook": "callbacks.md",
    "workers": "deploying.md",
}


def prominent_text(page: Path) -> str:
    """Return what a search shows or ranks first: the title, all headings, and the first lines of each section."""
    text = re.sub(r"^ *(`{3,}).*?^ *\1$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    parts = re.split(r"^(#+ .*)$", text, flags=re.MULTILINE)
    sections = zip(parts[1::2], parts[2::2], strict=True)
    return "\n".join(f"{heading}\n{body.strip()[:600]}" for heading, body in sections).lower()


@pytest.mark.parametrize(("word", "page"), PAGES.items())
def test_a_search_word_is_prominent_on_its_page(word: str, page: str) -> None:
    """The word is in the title, in a heading or at the beginning of a section of the page that treats it."""
    assert re.search(rf"\b{re.escape(word)}", prominent_text(DOCS / page))
