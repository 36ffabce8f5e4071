"""Tasks, providers and settings, as JSON has them and as a reader sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

from attrs import Attribute, asdict
from rich.table import Table
from rich.text import Text

from ..adapter import Adapter
from ..job import Job
from ..redaction import redact_text
from ..request import Mode
from ..task import Task, TaskStatus


def plain(text: str) -> str:
    """Return *text* as one line that is safe to print."""
    return redact_text(" ".join(text.split()))


def _serialize(_instance: Any, _attribute: Any, value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _shown(attribute: Attribute[Any], _value: Any) -> bool:
    return attribute.name not in ("ref", "raw")


def task_object(task: Task) -> dict[str, Any]:
    """Return *task* for JSON. The video's URL is whole, and whoever has it can fetch the video."""
    return {"ref": str(task.ref), **asdict(task, filter=_shown, value_serializer=_serialize)}


def task_line(task: Task) -> str:
    """Return *task* as one line."""
    words = [str(task.ref), str(task.status)]
    if task.status is TaskStatus.UNKNOWN and task.raw_status:
        words.append(f"({task.raw_status})")
    if task.progress is not None and not task.status.is_terminal:
        words.append(f"{task.progress:.0f} %")
    if task.error is not None:
        words.append(": ".join(part for part in (task.error.code, task.error.message) if part))
    return plain(" ".join(words))


def task_details(task: Task) -> Iterator[str]:
    """Yield what a reader wants to know of *task*, line by line."""
    yield task_line(task)
    yield from _known(
        ("model", task.model),
        ("created", task.created_at),
        ("started", task.started_at),
        ("finished", task.finished_at),
        ("request id", task.request_id),
    )
    for video in task.videos:
        size = f" {video.width}x{video.height}" if video.width and video.height else ""
        length = f" {video.duration:g} s" if video.duration else ""
        until = f", until {video.expires_at}" if video.expires_at else ""
        yield f"  video:{size}{length} ready{until}"


def task_table(tasks: Iterable[Task]) -> Table:
    """Return *tasks* as a table."""
    rows = ((task.ref, task.status, task.model, task.created_at, task.finished_at) for task in tasks)
    return _table(("ref", "status", "model", "created", "finished"), rows)


def job_object(job: Job) -> dict[str, Any]:
    """Return *job* for JSON, without what was asked for."""
    return {
        "job_id": job.job_id,
        "ref": job.ref and str(job.ref),
        "key": job.key,
        "state": job.state,
        "provider": job.endpoint.provider,
        "model": job.model,
        "created_at": job.created_at,
        "submitted_at": job.submitted_at,
        "failure": job.error and job.error.message,
    }


def job_details(job: Job) -> Iterator[str]:
    """Yield what a reader wants to know of *job*, line by line."""
    yield plain(f"{job.job_id} {job.state}")
    prompt = (job.request or {}).get("prompt")
    yield from _known(
        ("task", job.ref),
        ("provider", f"{job.endpoint.provider} at {job.endpoint.base_url}"),
        ("model", job.model),
        ("key", job.key),
        ("prompt", prompt),
        ("created", job.created_at),
        ("sent", job.submitted_at),
        ("what happened", job.error and job.error.message),
    )


def job_table(jobs: Iterable[Job]) -> Table:
    """Return *jobs* as a table."""
    rows = ((job.job_id, job.state, job.ref, job.key, job.created_at) for job in jobs)
    return _table(("job", "state", "ref", "key", "created"), rows)


def _known(*facts: tuple[str, object]) -> Iterator[str]:
    return (f"  {name}: {plain(str(value))}" for name, value in facts if value is not None)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    table = Table(*head, box=None)
    for cells in rows:
        table.add_row(*(Text("" if cell is None else plain(str(cell))) for cell in cells))
    return table


def adapter_object(adapter: Adapter) -> dict[str, Any]:
    """Return what *adapter* can do, for JSON."""
    capabilities = adapter.capabilities
    return {
        "provider": adapter.name,
        "title": adapter.title,
        "documentation": adapter.documentation,
        "api_key_env": adapter.api_key_env,
        "regions": dict(adapter.regions),
        "options": sorted(adapter.option_names),
        "lists": capabilities.can_list,
        "cancels": capabilities.can_cancel,
        "callbacks": capabilities.callbacks,
        "idempotent": capabilities.idempotent,
        "models": [
            {
                "mode": spec.mode,
                "version": spec.version,
                "model": spec.model,
                "resolutions": spec.resolutions,
                "ratios": spec.ratios,
                "durations": _ends(spec.durations),
                "seed": spec.seed,
                "watermark": spec.watermark,
                "audio": spec.audio,
                "images": _ends(spec.images),
            }
            for spec in capabilities.models
        ],
    }


def _ends(values: range) -> list[int]:
    return [values[0], values[-1]] if values else []


def adapter_table(adapters: Iterable[Adapter]) -> Table:
    """Return what *adapters* can do, as a table: the versions of each mode, and the other operations."""
    table = Table("provider", *Mode, "resolutions", "list", "cancel", "callback", "regions", "key from", box=None)
    for adapter in adapters:
        capabilities = adapter.capabilities
        models = capabilities.models
        versions = [sorted({spec.version for spec in models if spec.mode is mode}) for mode in Mode]
        resolutions = dict.fromkeys(resolution for spec in models for resolution in spec.resolutions)
        has = (capabilities.can_list, capabilities.can_cancel, capabilities.callbacks)
        table.add_row(
            adapter.name,
            *(" ".join(found) or "-" for found in versions),
            " ".join(resolutions),
            *("yes" if able else "-" for able in has),
            " ".join(adapter.regions) or "-",
            adapter.api_key_env,
        )
    return table


def settings_lines(resolved: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield resolved settings line by line, nested by indentation."""
    for name, value in resolved.items():
        if value and isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from settings_lines(cast("dict[str, Any]", value), indent + "  ")
        else:
            yield f"{indent}{name}: {'-' if value is None else plain(str(value))}"
