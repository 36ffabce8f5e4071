"""`hh.Timeouts`: how long each kind of request may take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

REQUEST = hh.TextToVideo("a train at night")


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), "5", True, None])
@pytest.mark.parametrize("name", ["connect", "query", "submit", "download"])
def test_a_timeout_is_a_positive_number(name: str, value: Any) -> None:
    """Anything but a positive number of seconds is a mistake in the configuration, and named."""
    with pytest.raises(hh.ConfigurationError, match=f"timeouts.{name} must be"):
        hh.Timeouts(**{name: value})


@pytest.mark.fault(11)
async def test_a_submit_that_takes_too_long_has_an_unknown_outcome(gateway: Gateway, fifth: Fifth) -> None:
    """The timeout of a submit is the caller's."""
    gateway.on("POST", "/videos", gateway.raw(b"", "hang"))

    async with fifth.open(timeouts=hh.Timeouts(submit=0.05)) as client:
        with pytest.raises(hh.SubmitOutcomeUnknownError, match="no whole response in time"):
            await client.submit(REQUEST)


@pytest.mark.fault(11)
async def test_a_status_request_that_takes_too_long(gateway: Gateway, fifth: Fifth) -> None:
    """The timeout of a status request is the caller's, and says nothing of the task."""
    gateway.show("t-1", gateway.raw(b"", "hang"))

    async with fifth.open(timeouts=hh.Timeouts(query=0.05)) as client:
        with pytest.raises(hh.TransportError, match="no whole response in time"):
            await client.fetch("fifth:t-1")


async def test_a_download_that_stalls(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """The timeout of a download is for its next bytes, not for the whole."""
    gateway.on("GET", "/v.mp4", gateway.raw(b"", "hang"))
    video = hh.Video(url=f"{gateway.url}/v.mp4")
    task = hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=hh.TaskStatus.SUCCEEDED, videos=(video,))
    once = hh.RetryPolicies(download=hh.RetryPolicy(max_retries=0))

    async with fifth.open(timeouts=hh.Timeouts(download=0.05), retries=once) as client:
        with pytest.raises(hh.DownloadError, match="did not respond in time"):
            await client.download(task, tmp_path)
