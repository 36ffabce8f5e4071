"""Tasks, jobs, providers and settings as JSON objects and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, cast

from attrs import Attribute, asdict

from ..adapter import Adapter
from ..errors import HappyHorseError, SubmitOutcomeUnknownError
from ..job import Job
from ..price import PriceEstimate, show_amount
from ..redaction import redact_text
from ..request import Mode
from ..task import Task, TaskStatus, Usage


def plain(text: str) -> str:
    """Return *text* as one line that is safe to print."""
    return redact_text(" ".join(text.split()))


def local_time(moment: datetime | None, *, now: datetime | None = None) -> str | None:
    """Return *moment* in local time, without the date if it is today."""
    if moment is None:
        return None
    here = moment.astimezone()
    today = (now or datetime.now().astimezone()).date()
    if here.date() == today:
        return f"{here:%H:%M:%S}"
    return f"{here:%b %d %H:%M}" if here.year == today.year else f"{here:%Y-%m-%d %H:%M}"


def error_message(error: HappyHorseError) -> str:
    """Return the sentence of *error* for a shell user, who cannot call `Client.resolve`."""
    if not isinstance(error, SubmitOutcomeUnknownError):
        return str(error)
    cause = error.__cause__.message if isinstance(error.__cause__, HappyHorseError) else ""
    job = f" (job {error.job_id})" if error.job_id else ""
    why = f": {cause}" if cause else ""
    return (
        f"the paid request was sent and its outcome is unknown; it is not sent again, to avoid paying twice{why}{job}"
    )


def _serialize(_instance: Any, _attribute: Any, value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _shown(attribute: Attribute[Any], _value: Any) -> bool:
    return attribute.name not in ("ref", "raw")


def task_object(task: Task) -> dict[str, Any]:
    """Return *task* for JSON. It has the signed URL of the video, which is a credential."""
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
    """Yield the facts about *task*, line by line."""
    yield task_line(task)
    yield from _known(
        ("model", task.model),
        ("created", local_time(task.created_at)),
        ("started", local_time(task.started_at)),
        ("finished", local_time(task.finished_at)),
        ("billed", billed(task.usage)),
        ("request id", task.request_id),
    )
    for video in task.videos:
        size = f" {video.width}x{video.height}" if video.width and video.height else ""
        length = f" {video.duration:g} s" if video.duration else ""
        until = f", until {local_time(video.expires_at)}" if video.expires_at else ""
        yield f"  video:{size}{length} ready{until}"


def billed(usage: Usage | None) -> str | None:
    """Return the billed usage in a few words, if the provider reports it."""
    if usage is None or usage.duration is None:
        return None
    resolution = f" of {usage.resolution}" if usage.resolution else ""
    return f"{usage.duration:g} s{resolution}"


def closing_line(task: Task, *, seconds: float | None, size: int | None, price: PriceEstimate | None = None) -> str:
    """Sum up a finished run: how long it took, what was billed, how large the file is."""
    took = f" in {duration(seconds)}" if seconds is not None else ""
    bill = billed(task.usage)
    cost = "" if price is None or price.billed is None else f"{show_amount(price.billed)} {price.currency}"
    file = "" if size is None else _bytes(size)
    parts = [f"{task.status}{took}", f"{bill} billed" if bill else "", cost, file]
    return ", ".join(part for part in parts if part)


def duration(seconds: float) -> str:
    """Return *seconds* as minutes and seconds."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def job_object(job: Job) -> dict[str, Any]:
    """Return *job* for JSON, without its request."""
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
    """Yield the facts about *job*, line by line."""
    yield plain(f"{job.job_id} {job.state}")
    prompt = (job.request or {}).get("prompt")
    yield from _known(
        ("task", job.ref),
        ("provider", f"{job.endpoint.provider} at {job.endpoint.base_url}"),
        ("model", job.model),
        ("key", job.key),
        ("prompt", prompt),
        ("created", local_time(job.created_at)),
        ("sent", local_time(job.submitted_at)),
        ("error", job.error and job.error.message),
    )


def _known(*facts: tuple[str, object]) -> Iterator[str]:
    return (f"  {name}: {plain(str(value))}" for name, value in facts if value is not None)


def adapter_object(adapter: Adapter) -> dict[str, Any]:
    """Return the capabilities of *adapter* for JSON."""
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


ADAPTER_COLUMNS = ("provider", *Mode, "resolutions", "list", "cancel", "callback", "regions", "key from")
"""The columns of `adapter_row`."""


def adapter_row(adapter: Adapter) -> tuple[str, ...]:
    """Return the capabilities of *adapter* as a row of a table: the versions of each mode, and the other operations."""
    capabilities = adapter.capabilities
    models = capabilities.models
    versions = [sorted({spec.version for spec in models if spec.mode is mode}) for mode in Mode]
    resolutions = dict.fromkeys(resolution for spec in models for resolution in spec.resolutions)
    has = (capabilities.can_list, capabilities.can_cancel, capabilities.callbacks)
    return (
        adapter.name,
        *(" ".join(found) or "-" for found in versions),
        " ".join(resolutions),
        *("yes" if able else "-" for able in has),
        " ".join(adapter.regions) or "-",
        adapter.api_key_env,
    )


def settings_lines(resolved: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield resolved settings line by line, nested by indentation."""
    for name, value in resolved.items():
        if value and isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from settings_lines(cast("dict[str, Any]", value), indent + "  ")
        else:
            yield f"{indent}{name}: {'-' if value is None else plain(str(value))}"
