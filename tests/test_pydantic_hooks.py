"""What pydantic, and so FastAPI, makes of refs and of what is known of a job."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter, ValidationError

import happyhorse_async as hh

REF = hh.TaskRef("main", "0385dc79:1")


def info(**facts: object) -> hh.JobInfo:
    """Make what is known of a job that has failed."""
    task = hh.Task(ref=REF, status=hh.TaskStatus.FAILED, error=hh.TaskFailure(code="X1", message="no"))
    known = {
        "job_id": "hh-1",
        "key": "order-8472",
        "state": hh.JobState.FAILED,
        "ref": REF,
        "task": task,
        "error": hh.TaskFailedError("the task failed: no", task=task),
        "created_at": datetime(2031, 5, 17, tzinfo=UTC),
    }
    return hh.JobInfo(**{**known, **facts})  # type: ignore[arg-type]


def test_a_ref_is_its_text() -> None:
    """A ref is read from its text and written as such, and other text is a validation error."""
    adapter = TypeAdapter(hh.TaskRef)

    assert REF == adapter.validate_python("main:0385dc79:1") == adapter.validate_python(REF)
    assert b'"main:0385dc79:1"' == adapter.dump_json(REF)
    assert {"type": "string"} == adapter.json_schema()
    with pytest.raises(ValidationError):
        adapter.validate_json('"no ref"')


def test_a_job_is_written_as_by_to_dict() -> None:
    """A job serves as a response; its JSON Schema has the fields of `to_dict`, with the task's and the error's."""
    adapter = TypeAdapter(hh.JobInfo)
    schema = adapter.json_schema(mode="serialization")

    known = info()

    assert known.to_dict() == adapter.dump_python(known, mode="json")
    shape = schema["$defs"]["JobInfo"] if "$defs" in schema and "JobInfo" in schema["$defs"] else schema
    assert list(info().to_dict()) == list(shape["properties"])
    assert {"type", "message", "code", "http_status"} == set(info().to_dict()["error"])
    assert {"type": "TaskFailedError", "message": "the task failed: no", "code": "X1", "http_status": 502} == (
        info().to_dict()["error"]
    )


def test_a_job_without_task_and_error() -> None:
    """What is not known is null."""
    known = info(ref=None, task=None, error=None, key=None, state=hh.JobState.QUEUED).to_dict()

    assert (None, None, None, None) == (known["ref"], known["task"], known["error"], known["key"])


def test_a_model_with_a_job_has_a_schema_and_reads_no_job() -> None:
    """Of a model of one's own, pydantic also describes what it would read. A job is only ever written."""
    adapter = TypeAdapter(hh.JobInfo)

    assert adapter.json_schema() == adapter.json_schema(mode="serialization")
    assert info().job_id == adapter.validate_python(info()).job_id
    with pytest.raises(ValidationError, match="a JobInfo is written as JSON, and not read from it"):
        adapter.validate_python(info().to_dict())


def test_fastapi_returns_a_job_and_takes_a_ref() -> None:
    """A FastAPI app has both in its signatures without code of its own, and describes them."""
    app = FastAPI()

    @app.get("/jobs/{ref}")
    async def job(ref: hh.TaskRef) -> hh.JobInfo:
        return info(ref=ref)

    schemas = app.openapi()["components"]["schemas"]

    assert list(info().to_dict()) == list(schemas["JobInfo"]["properties"])
    assert set(info().to_dict()["task"]) == set(schemas["Task"]["properties"])
