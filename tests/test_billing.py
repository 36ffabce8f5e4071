"""What was asked for is held against what was billed."""

from __future__ import annotations

import pytest

from happyhorse_async.billing import expected_usage
from happyhorse_async.request import ImageToVideo, TextToVideo, VideoEdit
from happyhorse_async.task import Usage

REQUEST = TextToVideo("a train at night", resolution="720P", ratio="16:9", duration=5).to_dict()


@pytest.mark.parametrize(
    ("usage", "differences"),
    [
        (Usage(duration=15.0), ["15 s instead of 5 s"]),
        (Usage(duration=5.5), ["5.5 s instead of 5 s"]),
        (Usage(duration=3.0), ["3 s instead of 5 s"]),
        (Usage(resolution="1080P"), ["1080P instead of 720P"]),
        (Usage(ratio="9:16"), ["9:16 instead of 16:9"]),
        (Usage(count=2), ["2 videos instead of 1"]),
        (
            Usage(duration=6.0, resolution="1080P", ratio="1:1"),
            ["6 s instead of 5 s", "1080P instead of 720P", "1:1 instead of 16:9"],
        ),
    ],
)
def test_what_differs_is_told(usage: Usage, differences: list[str]) -> None:
    """Each figure of the bill that is not what was asked for is told, beside what was asked for."""
    assert differences == expected_usage(REQUEST).differences(usage)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(duration=5.0, output_duration=5.04, resolution="720P", ratio="16:9", count=1),
        Usage(duration=5.04),
        Usage(input_duration=0.0, output_duration=15.0),
    ],
)
def test_what_agrees_or_is_absent_is_no_difference(usage: Usage) -> None:
    """A bill that is as was asked for, to the frame, or that does not say, differs in nothing."""
    assert [] == expected_usage(REQUEST).differences(usage)


@pytest.mark.parametrize(
    "request_",
    [None, ImageToVideo("https://a.example/1.png").to_dict(), VideoEdit("snow", "https://a.example").to_dict()],
)
def test_what_was_left_to_the_provider_is_no_difference(request_: dict[str, object] | None) -> None:
    """Where nothing was asked for, or nobody knows any more what was, any bill is as it should be."""
    usage = Usage(duration=13.24, resolution="1080P", ratio="16:9", count=1)

    assert [] == expected_usage(request_).differences(usage)
