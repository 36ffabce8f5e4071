"""How long tasks take, and when a look pays."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.polling.estimator import DurationEstimator

SHORT = {"mode": "t2v", "resolution": "720P", "duration": 5, "prompt": "a train"}
LONG = {"mode": "t2v", "resolution": "1080P", "duration": 15}
PRICE = 1.0


def learned(*seconds: float, request: dict[str, object] | None = None) -> DurationEstimator:
    """Know tasks that took *seconds*."""
    estimator = DurationEstimator()
    for each in seconds:
        estimator.add(estimator.kind(request or SHORT), each)
    return estimator


def between(shortest: float, longest: float, number: int = 100) -> list[float]:
    """Return *number* times, evenly spread."""
    return [shortest + (longest - shortest) * (index + 0.5) / number for index in range(number)]


def test_nothing_finishes_in_the_first_seconds() -> None:
    """A kind that nobody has seen is first looked at after some time, and before most videos are done."""
    kind = DurationEstimator().kind(SHORT)

    assert 15 < kind.patience(0.0, PRICE) < 60


def test_no_look_before_the_first_can_have_ended() -> None:
    """Of tasks that take 90 to 150 seconds none is looked at long before 90, and then often."""
    kind = learned(*between(90, 150)).kind(SHORT)

    assert 80 < kind.patience(0.0, PRICE) < 105
    assert 80 < 40 + kind.patience(40.0, PRICE) < 105
    assert kind.patience(100.0, PRICE) < 12
    assert kind.patience(140.0, PRICE) < kind.patience(100.0, PRICE)


def test_one_that_takes_longer_than_all_others() -> None:
    """A task that has outlived everything that was seen is looked at less and less often, and for ever."""
    kind = learned(*between(90, 150)).kind(SHORT)

    waits = [kind.patience(age, PRICE) for age in (300.0, 900.0, 3600.0)]
    assert sorted(waits) == waits
    assert all(10 < wait < 600 for wait in waits)


@given(
    st.lists(st.floats(0.01, 50_000), max_size=30),
    st.floats(0, 700_000),
    st.floats(1e-6, 1e6),
    st.floats(1, 100),
)
def test_a_dearer_look_is_never_sooner(seconds: list[float], age: float, price: float, factor: float) -> None:
    """Whatever was seen and however old a task is, there is a next look, and a dearer one comes later."""
    kind = learned(*seconds).kind(SHORT)

    cheap, dear = kind.patience(age, price), kind.patience(age, price * factor)
    assert 0 < cheap <= dear * 1.000001 < float("inf")


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0])
def test_it_does_not_matter_how_fast_time_goes(scale: float) -> None:
    """Tasks of a second and of an hour are known as well as those of minutes."""
    times = between(90, 150)
    usual = learned(*times).kind(SHORT)
    scaled = learned(*(scale * each for each in times)).kind(SHORT)

    for age in (0.0, 60.0, 100.0, 130.0):
        assert scaled.patience(age * scale, PRICE * scale) == pytest.approx(scale * usual.patience(age, PRICE), rel=0.2)


def test_each_kind_has_its_own_time() -> None:
    """What is asked for tells how long it takes: mode, resolution and length, and nothing else."""
    estimator = learned(*between(30, 40))
    for each in between(300, 400):
        estimator.add(estimator.kind(LONG), each)

    assert 30 < estimator.kind(SHORT).median < 40
    assert 300 < estimator.kind(LONG).median < 400
    assert estimator.kind(SHORT) is estimator.kind({**SHORT, "prompt": "a plane", "seed": 7})


def test_a_new_kind_borrows_from_the_others() -> None:
    """Before a kind has shown anything of its own, it is taken to be like the others of its provider."""
    estimator = learned(*between(20, 30))
    kind = estimator.kind(LONG)

    assert not kind.is_familiar
    assert 20 < kind.median < 31
    assert 20 < estimator.kind(None).median < 31


def test_a_few_make_it_familiar() -> None:
    """After three tasks a kind is relied on."""
    assert not learned(100, 110).kind(SHORT).is_familiar
    assert learned(100, 110, 120, 105).kind(SHORT).is_familiar


def test_the_past_fades() -> None:
    """When a provider becomes slower, it is soon as if it had always been."""
    estimator = learned(*between(50, 60, 1000), *between(100, 120, 1000))

    assert 100 < estimator.kind(SHORT).median < 120


def test_what_was_learned_can_be_kept() -> None:
    """Written down as JSON and read again, it knows what it knew."""
    chance = random.Random(7)
    estimator = learned(*(chance.gauss(100, 10) for _ in range(500)))
    read = DurationEstimator()
    read.take_over(json.loads(json.dumps(estimator.to_data())))

    assert read.kind(SHORT).is_familiar
    for age in (0.0, 80.0, 100.0):
        expected = estimator.kind(SHORT).patience(age, PRICE)
        assert expected == pytest.approx(read.kind(SHORT).patience(age, PRICE), rel=0.1)


def test_what_was_kept_is_small() -> None:
    """However many tasks there were, what is kept of a kind is a few kilobytes."""
    estimator = learned(*between(1, 10_000, 5000))

    assert len(json.dumps(estimator.to_data())) < 10_000


@pytest.mark.parametrize(
    "junk", [[], {"a": 7}, {"a": []}, {"a": {"x": 1, "-3": 1, "9999": 2, "5": "many", "6": -1, "7": None, "8": True}}]
)
def test_what_cannot_be_read_is_left_out(junk: object) -> None:
    """Whatever the store gives back, the times are those of one who knows nothing."""
    estimator = DurationEstimator()
    estimator.take_over(junk)

    assert DurationEstimator().kind(SHORT).patience(0.0, PRICE) == estimator.kind(SHORT).patience(0.0, PRICE)
