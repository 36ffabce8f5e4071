"""How often a download is tried again, and how slow it may be."""

from __future__ import annotations

from attrs import field, frozen

from ..retry import RetryPolicies, RetryPolicy
from ..timeouts import Timeouts


@frozen(kw_only=True)
class DownloadPolicy:
    """How often a download is tried again, and how slow it may be."""

    retry: RetryPolicy = field(factory=lambda: RetryPolicies().download)
    """Between attempts. One that brings a mebibyte more than any before it resets the count."""
    largest: int = 2 * 1024**3
    """Bytes. Fifteen seconds in 1080P are a hundredth of it."""
    least: int = 32 * 1024
    """The bytes that must arrive in each span of `patience` seconds, or the attempt has failed."""
    patience: float = Timeouts().download
    """Seconds; also for the response to begin."""
    renew_interval: float = 60.0
    """Seconds between two requests for a fresh URL, while the storage refuses the one that there is."""
