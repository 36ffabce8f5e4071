"""What the command line tells while it works: an unreachable provider, the log, tables, times."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from happyhorse_async.cli.log import LogHandler
from happyhorse_async.cli.render import closing_line, duration, local_time
from happyhorse_async.cli.table import Column, table_lines
from happyhorse_async.emulator import Scenario
from happyhorse_async.logs import JOB_FAILED, POLL_FAILED, SUBMIT_RETRIED
from happyhorse_async.task import Task, TaskRef, TaskStatus, Usage

REF = "main:0385dc79-5ff8-4d82-bcb6-123456789abc"
FAILED = f"{REF}: poll failed %d times in a row: connection refused"
POLL = {"event": POLL_FAILED, "reason": "connection refused"}


class Shown:
    """A handler, and what it has shown."""

    def __init__(self, *, verbose: bool = False) -> None:
        self.warnings: list[str] = []
        self.records: list[str] = []
        self.handler = LogHandler(
            verbose=verbose, show=lambda _, text: self.records.append(text), warn=self.warnings.append
        )

    def log(self, level: int, text: str, *arguments: object, **fields: str) -> None:
        """Log a record of the library."""
        record = logging.LogRecord("happyhorse_async.jobs", level, "", 0, text, arguments, None)
        record.__dict__.update(fields)
        self.handler.handle(record)


def test_an_unreachable_provider_is_told_once() -> None:
    """The second failure in a row is a line with the time of the first; further ones say nothing new."""
    shown = Shown()
    for number in range(1, 6):
        shown.log(logging.INFO, FAILED, number, **POLL)

    [line] = shown.warnings
    assert line.startswith("no answer from the provider since ")
    assert line.endswith(", still trying: connection refused")


def test_a_provider_that_fails_again_is_told_again() -> None:
    """After an answer, the next failures are news."""
    shown = Shown()
    for _ in range(2):
        shown.log(logging.INFO, FAILED, 1, **POLL)
        shown.log(logging.INFO, FAILED, 2, **POLL)
        shown.handler.answered()
    shown.log(logging.INFO, FAILED, 1, **POLL)

    assert 2 == len(shown.warnings)


def test_a_submit_that_is_retried_is_told() -> None:
    """While a submit is retried, the reason is shown too."""
    shown = Shown()
    for _ in range(2):
        shown.log(logging.INFO, "job hh-1 is sent again", event=SUBMIT_RETRIED, reason="no connection")

    assert shown.warnings[0].endswith("still trying: no connection")


def test_one_message_for_one_failed_job() -> None:
    """The record of a failed job is shown only where the command does not show its error."""
    shown = Shown()
    for job in ("hh-1", "hh-2"):
        shown.log(logging.WARNING, "job %s failed: lost", job, event=JOB_FAILED, job_id=job)
    shown.handler.shown("hh-1")
    shown.handler.finish()

    assert ["job hh-2 failed: lost"] == shown.warnings


def test_the_whole_log_is_shown_on_request() -> None:
    """With -v every record is shown as it is."""
    shown = Shown(verbose=True)
    shown.log(logging.INFO, "job hh-1 was accepted")
    shown.log(logging.WARNING, "careful")

    assert (["job hh-1 was accepted", "careful"], []) == (shown.records, shown.warnings)


async def test_a_provider_that_goes_away(program: Any, emulate: Any) -> None:
    """While the provider cannot be reached, `generate` says so in one line and since when, and goes on."""
    async with emulate(Scenario(stuck=1.0)):
        process = await program.start("generate", "a horse", "--resolution", "720P", "--no-watermark")
        seen = await process.stderr.readline()
        seen += await process.stderr.readline()
    seen += await asyncio.wait_for(process.stderr.readline(), 100)
    process.terminate()
    run = await program.end(process, seen)

    assert 130 == run.code
    assert 1 == run.err.count("warning: no answer from the provider since ")


async def test_verbose(program: Any, emulate: Any) -> None:
    """-v shows the log on the standard error, with --json as objects."""
    async with emulate(Scenario(queue=(0, 0), run=(1, 1))):
        run = await program.run("-v", "submit", "a horse", "--resolution", "720P")
        as_json = await program.run("submit", "a horse", "--resolution", "720P", "--verbose", "--json")

    assert " INFO job hh-" in run.err
    assert 0 == as_json.code
    assert '{"log": "job hh-' in as_json.err


NOW = datetime(2031, 5, 17, 12, 0, tzinfo=UTC).astimezone()


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW, f"{NOW:%H:%M:%S}"),
        (NOW - timedelta(days=40), f"{NOW - timedelta(days=40):%b %d %H:%M}"),
        (NOW - timedelta(days=400), f"{NOW - timedelta(days=400):%Y-%m-%d %H:%M}"),
        (None, None),
    ],
)
def test_times_are_local_and_short(moment: datetime | None, text: str | None) -> None:
    """The zone is the user's, and the date is left out where it is today's."""
    assert text == local_time(moment and moment.astimezone(UTC), now=NOW)


def test_a_table_never_cuts_a_ref() -> None:
    """On a narrow terminal the columns that matter least are left out, and the ref is whole at any width."""
    columns = [Column("ref"), Column("status"), Column("created", required=False), Column("model", required=False)]
    rows = [(REF, "SUCCEEDED", "12:00:00", "happyhorse-1.1-t2v")]
    for width in (None, 200, 100, 80, 60, 40, 10):
        head, row = table_lines(columns, rows, width)
        assert f"{REF}  SUCCEEDED" == row[: len(REF) + 11]
        assert len(head) <= max(width or 200, len(REF) + 11)
        assert ("model" in head) == (width is None or width >= 90)


def test_the_closing_line() -> None:
    """It has the time, the bill where the provider tells it, and the size."""
    task = Task(ref=TaskRef("main", "1"), status=TaskStatus.SUCCEEDED, usage=Usage(duration=5.0, resolution="720P"))

    assert "SUCCEEDED in 2:14, 5 s of 720P billed, 1.3 MB" == closing_line(task, seconds=134.2, size=1_300_000)
    assert "1:01:01" == duration(3661)
