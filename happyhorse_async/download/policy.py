"""Retries of a download, and its minimum speed."""

from __future__ import annotations

from attrs import field, frozen

from ..retry import RetryPolicies, RetryPolicy
from ..timeouts import Timeouts


@frozen(kw_only=True)
class DownloadPolicy:
    """The retries of a download, and its minimum speed."""

    retry: RetryPolicy = field(factory=lambda: RetryPolicies().download)
    """The retries. An attempt that gets a mebibyte further than all before it resets the count."""
    largest: int = 2 * 1024**3
    """The largest file in bytes, a hundred times the size of fifteen seconds in 1080P."""
    least: int = 32 * 1024
    """The bytes that must arrive in each span of `patience` seconds, or the attempt has failed."""
    patience: float = Timeouts().download
    """Seconds; also the timeout for the response to begin."""
    renew_interval: float = 60.0
    """Seconds between two requests for a fresh URL, while the storage refuses the present one."""
