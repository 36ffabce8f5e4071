"""The library's log: one logger for each package, the same fields in each record, and nothing that is secret."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.logs import RedactingFilter, get_logger

PROMPT = "a horse that nobody may read about in a log"
SIGNED = "https://files.example/a.mp4?signature=s3cr3t"


def our_loggers() -> list[logging.Logger]:
    """Return the loggers of all modules of the library."""
    for module in pkgutil.walk_packages(hh.__path__, "happyhorse_async."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    known = logging.root.manager.loggerDict
    return [each for name, each in known.items() if name.startswith("happyhorse_async.") and hasattr(each, "filters")]


def test_every_logger_of_the_library_redacts() -> None:
    """Each package has one logger, and each masks what is signed: a filter of the parent does not apply to children."""
    loggers = our_loggers()

    assert {"happyhorse_async.jobs", "happyhorse_async.polling", "happyhorse_async.exchange"} <= {
        logger.name for logger in loggers
    }
    for logger in loggers:
        assert 1 == [type(each) for each in logger.filters].count(RedactingFilter), logger.name
        assert 1 == logger.name.count("."), logger.name


def test_all_fields_are_there_and_redacted(caplog: pytest.LogCaptureFixture) -> None:
    """A format string may name each field, whatever a record is about; signed URLs are masked in fields too."""
    get_logger("happyhorse_async.jobs.submit").warning("see %s", SIGNED, extra={"reason": SIGNED})

    (record,) = caplog.records
    assert ("happyhorse_async.jobs", "see files.example/a.mp4") == (record.name, record.getMessage())
    shown = logging.Formatter("%(event)s %(reason)s %(job_id)s %(ref)s %(provider)s %(key)s").format(record)
    assert "None files.example/a.mp4 None None None None" == shown


def test_a_traceback_is_redacted(caplog: pytest.LogCaptureFixture) -> None:
    """An exception whose message quotes a signed URL does not show the signature in the log."""
    try:
        raise ValueError(f"cannot read {SIGNED}")
    except ValueError:
        get_logger("happyhorse_async.exchange").exception("a mistake")

    assert "cannot read files.example/a.mp4" in caplog.text
    assert "s3cr3t" not in caplog.text
    assert "Traceback (most recent call last):\n" in caplog.text


async def test_the_records_of_a_job_name_it(gateway: Any, fifth: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Records of a job have its id, ref, account and key as fields, and neither its prompt nor a URL."""
    caplog.set_level(logging.DEBUG, "happyhorse_async")
    gateway.accept("t-1")
    gateway.show("t-1", 502, "running", "done")

    async with fifth.open() as client:
        handle = await client.submit(hh.TextToVideo(PROMPT), key="order-8472")
        await handle

    records = [record for record in caplog.records if record.name.startswith("happyhorse_async.")]
    found = {(record.name, getattr(record, "event", None)) for record in records}
    assert {("happyhorse_async.jobs", "job_accepted"), ("happyhorse_async.polling", "poll_failed")} <= found
    for record in records:
        fields = (handle.job_id, "fifth:t-1", "fifth", "order-8472")
        assert fields == tuple(record.__dict__[name] for name in ("job_id", "ref", "provider", "key"))
        shown = str(record.__dict__)
        assert PROMPT not in shown
        assert "://" not in shown


async def test_a_job_that_fails_names_the_reason(gateway: Any, fifth: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The record of a job that was refused has its event, and the error as its reason."""
    caplog.set_level(logging.INFO, "happyhorse_async")
    gateway.on("POST", "/videos", 400)

    async with fifth.open() as client:
        with pytest.raises(hh.InvalidRequestError) as raised:
            await client.submit(hh.TextToVideo(PROMPT))

    (record,) = [record for record in caplog.records if getattr(record, "event", None) == "job_failed"]
    assert raised.value.job_id == record.__dict__["job_id"]
    assert "HTTP 400" in record.__dict__["reason"]
