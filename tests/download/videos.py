"""Videos, and downloads without a client, for the tests of this folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import happyhorse_async as hh
from happyhorse_async.download.expiry import ResultUrl
from happyhorse_async.download.fetch import Fetch, Renewal
from happyhorse_async.download.manager import Progress, download
from happyhorse_async.download.policy import DownloadPolicy
from happyhorse_async.redaction import SecretUrl
from happyhorse_async.transports import Transport

HASTY = hh.RetryPolicies(download=hh.RetryPolicy(max_retries=3, initial_interval=0.0, max_interval=0.0))
"""Retries of a client that do not wait."""


def box(name: bytes, payload: bytes) -> bytes:
    """Make one box of an MP4."""
    return (len(payload) + 8).to_bytes(4) + name + payload


FTYP = box(b"ftyp", b"isom\0\0\0\0")
MOOV = box(b"moov", b"\0" * 100)


def video_file(data: bytes = b"\1" * 999) -> bytes:
    """Make an MP4 of *data*."""
    return FTYP + box(b"mdat", data) + MOOV


def done(url: str, task_id: str = "t-1", **facts: datetime | None) -> hh.Task:
    """Make a succeeded task."""
    video = hh.Video(url=url, expires_at=facts.pop("expires_at", None))
    return hh.Task(ref=hh.TaskRef("fifth", task_id), status=hh.TaskStatus.SUCCEEDED, videos=(video,), **facts)


def names(folder: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(file.name for file in folder.iterdir())


def content(file: Path) -> bytes:
    """Read a whole file."""
    return file.read_bytes()


async def download_url(
    transport: Transport,
    url: str,
    target: Path,
    *,
    policy: DownloadPolicy = DownloadPolicy(),  # noqa: B008 - immutable
    progress: Progress | None = None,
    renew: Renewal | None = None,
    expires_at: datetime | None = None,
) -> Path:
    """Download *url* without a client."""
    fetch = Fetch(transport, ResultUrl(SecretUrl(url), ends=expires_at), policy, renew=renew)
    return await download(fetch, target, progress=progress)
