"""How long a download tries, and what it puts up with."""

from __future__ import annotations

from attrs import field, frozen

from ..retry import RetryPolicies, RetryPolicy


@frozen(kw_only=True)
class DownloadPolicy:
    """How long a download tries, and what it puts up with."""

    retry: RetryPolicy = field(factory=lambda: RetryPolicies().download)
    """Between tries. One that brings a mebibyte more than any before it begins the counting anew."""
    largest: int = 2 * 1024**3
    """Bytes. Fifteen seconds in 1080P are a hundredth of it."""
    least: int = 32 * 1024
    """The bytes that must come in each span of `patience` seconds, or the try counts as broken off."""
    patience: float = 30.0
    """Seconds; also for the answer to begin."""
