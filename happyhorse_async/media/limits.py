"""
The documented limits of a provider's pictures and videos, as data, and the check against them.

If a provider's sources agree on a figure, it is a limit, and a medium beyond it is rejected before anything is sent. If
they differ, or only the upstream provider states the figure, exceeding it is a warning in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ..errors import InvalidRequestError
from .facts import PictureFacts, VideoFacts
from .formats import MediaFormat

# No provider says whether its "MB" is a million bytes or 2 ** 20.
_MEBI, _MEGA = 2**20, 10**6


@frozen(kw_only=True)
class PictureLimits:
    """The documented limits of a picture."""

    formats: frozenset[MediaFormat]
    """The formats it takes."""
    source: str
    """The provider's page."""
    megabytes: float | None = None
    """The largest file, in the provider's MB."""
    doubted_megabytes: float | None = None
    """The largest file according to another of its pages: no warning up to here, a warning above."""
    side: int | None = None
    """The minimum of the shorter side in pixels."""
    ratio: float | None = None
    """The longer side may be at most so many times the shorter."""
    doubted_ratio: float | None = None
    """The most that only the provider upstream states, or a source of less weight: beyond it warns."""
    is_hearsay: bool = False
    """Whether `side` and `ratio` are only stated by the provider upstream, so that exceeding them is only a warning."""


@frozen(kw_only=True)
class VideoLimits:
    """The documented limits of a source video. Times are seconds, sides are pixels."""

    formats: frozenset[MediaFormat]
    """The formats it takes."""
    source: str
    """The provider's page."""
    megabytes: float | None = None
    """The largest file, in the provider's MB."""
    durations: tuple[float, float] | None = None
    """The minimum and maximum length."""
    longer_side: int | None = None
    """The most pixels of the longer side."""
    shorter_side: int | None = None
    """The least pixels of the shorter side."""
    doubted_shorter_side: int | None = None
    """The least according to another of its pages: below it warns."""
    ratio: float | None = None
    """The longer side may be at most so many times the shorter."""
    doubted_ratio: float | None = None
    """The most according to another of its pages: beyond it warns."""
    frame_rate: float | None = None
    """Frames per second must be above this."""
    doubted_frame_rates: tuple[float, float] | None = None
    """The least and the most according to another of its pages: outside it warns."""
    edited: float | None = None
    """Only this many seconds from the beginning are edited."""


def check_picture(facts: PictureFacts, limits: PictureLimits, *, name: str, provider: str) -> tuple[str, ...]:
    """
    Check a picture against a provider's limits, and return warnings, a sentence each.

    :raises InvalidRequestError: a figure is outside; names the figure found, the figure allowed and the page.
    """
    _check_format(facts.format, limits.formats, name=name, provider=provider, source=limits.source)
    warnings = [*_check_size(facts.size, limits.megabytes, name=name, provider=provider, source=limits.source)]
    doubted = limits.doubted_megabytes
    if doubted is not None and facts.size > doubted * _MEBI:
        warnings.append(f"{name} has {facts.size / _MEGA:.1f} MB; a page of {provider} says at most {doubted:g} MB")
    if facts.frames > 1:
        warnings.append(f"{name} is an animation of {facts.frames} pictures; {provider} does not document those")
    for problem in _shape_problems(facts, limits, name, provider):
        if not limits.is_hearsay:
            raise InvalidRequestError(f"{problem}: {limits.source}")
        warnings.append(problem)
    warnings.extend(_shape_doubts(facts, limits, name))
    return tuple(warnings)


def _shape_doubts(facts: PictureFacts, limits: PictureLimits, name: str) -> Iterator[str]:
    if not facts.width or not facts.height or limits.doubted_ratio is None:
        return
    shorter, longer = sorted((facts.width, facts.height))
    if longer > limits.doubted_ratio * shorter:
        ratio = f"1:{limits.doubted_ratio:g} to {limits.doubted_ratio:g}:1"
        yield f"{name} is {facts.width}x{facts.height} pixels; ratios beyond {ratio} may be refused"


def _shape_problems(facts: PictureFacts, limits: PictureLimits, name: str, provider: str) -> Iterator[str]:
    if not facts.width or not facts.height:
        return
    shorter, longer = sorted((facts.width, facts.height))
    if limits.side is not None and shorter < limits.side:
        yield f"{name} is {facts.width}x{facts.height} pixels; {provider} takes at least {limits.side} on each side"
    if limits.ratio is not None and longer > limits.ratio * shorter:
        ratio = f"1:{limits.ratio:g} to {limits.ratio:g}:1"
        yield f"{name} is {facts.width}x{facts.height} pixels; {provider} takes ratios from {ratio}"


def check_video(facts: VideoFacts, limits: VideoLimits, *, name: str, provider: str) -> tuple[str, ...]:
    """
    Check a source video against a provider's limits, and return warnings, a sentence each.

    :raises InvalidRequestError: a figure is outside; names the figure found, the figure allowed and the page.
    """
    _check_format(facts.format, limits.formats, name=name, provider=provider, source=limits.source)
    warnings = [*_check_size(facts.size, limits.megabytes, name=name, provider=provider, source=limits.source)]
    for problem in _video_problems(facts, limits, name, provider):
        raise InvalidRequestError(f"{problem}: {limits.source}")
    warnings.extend(_video_doubts(facts, limits, name, provider))
    return tuple(warnings)


def _video_problems(facts: VideoFacts, limits: VideoLimits, name: str, provider: str) -> Iterator[str]:
    if limits.durations is not None and facts.duration is not None:
        least, most = limits.durations
        # Containers round to their own ticks.
        if not least - 0.1 <= facts.duration <= most + 0.1:
            yield f"{name} lasts {facts.duration:.1f} s; {provider} takes {least:g} to {most:g} s"
    if limits.frame_rate is not None and facts.frame_rate is not None and _is_too_slow(facts.frame_rate, limits):
        yield f"{name} has {facts.frame_rate:g} frames a second; {provider} takes more than {limits.frame_rate:g}"
    if not facts.width or not facts.height:
        return
    shorter, longer = sorted((facts.width, facts.height))
    size = f"{name} is {facts.width}x{facts.height} pixels; {provider} takes"
    if limits.longer_side is not None and longer > limits.longer_side:
        yield f"{size} at most {limits.longer_side} on the longer side"
    if limits.shorter_side is not None and shorter < limits.shorter_side:
        yield f"{size} at least {limits.shorter_side} on the shorter side"
    if limits.ratio is not None and longer > limits.ratio * shorter:
        yield f"{size} ratios from 1:{limits.ratio:g} to {limits.ratio:g}:1"


def _is_too_slow(rate: float, limits: VideoLimits) -> bool:
    # Where another page takes the very figure, it is only doubted.
    least = limits.frame_rate or 0
    return rate < least or (rate == least and limits.doubted_frame_rates is None)


def _video_doubts(facts: VideoFacts, limits: VideoLimits, name: str, provider: str) -> Iterator[str]:
    if facts.codec is not None and facts.codec != "h264":
        yield f"{name} is coded as {facts.codec}; {provider} advises H.264"
    if limits.edited is not None and facts.duration is not None and facts.duration > limits.edited:
        yield f"{name} lasts {facts.duration:.1f} s; only its first {limits.edited:g} s come out edited"
    if limits.doubted_frame_rates is not None and facts.frame_rate is not None:
        least, most = limits.doubted_frame_rates
        if not least < facts.frame_rate <= most:
            yield f"{name} has {facts.frame_rate:g} frames a second; a page of {provider} says {least:g} to {most:g}"
    if not facts.width or not facts.height:
        return
    shorter, longer = sorted((facts.width, facts.height))
    if limits.doubted_shorter_side is not None and shorter < limits.doubted_shorter_side:
        yield f"{name} has a side of {shorter} pixels; a page of {provider} says at least {limits.doubted_shorter_side}"
    if limits.doubted_ratio is not None and longer > limits.doubted_ratio * shorter:
        ratio = f"1:{limits.doubted_ratio:g} to {limits.doubted_ratio:g}:1"
        yield f"{name} is {facts.width}x{facts.height} pixels; a page of {provider} says ratios from {ratio}"


def _check_format(
    found: MediaFormat, allowed: frozenset[MediaFormat], *, name: str, provider: str, source: str
) -> None:
    if found not in allowed:
        known = ", ".join(sorted(allowed))
        raise InvalidRequestError(f"{name} is a {found} file by its content; {provider} takes {known}: {source}")


def _check_size(size: int, megabytes: float | None, *, name: str, provider: str, source: str) -> Iterator[str]:
    if megabytes is None or size <= megabytes * _MEGA:
        return
    found = f"{name} has {size / _MEGA:.1f} MB; {provider} takes at most {megabytes:g} MB"
    if size > megabytes * _MEBI:
        raise InvalidRequestError(f"{found}: {source}")
    yield f"{found}, and does not say how it counts them"
