"""How long tasks take, and when a poll pays."""

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
    """Return an estimator that has learned from tasks of *seconds*."""
    estimator = DurationEstimator()
    for each in seconds:
        estimator.add(estimator.model(request or SHORT), each)
    return estimator


def between(shortest: float, longest: float, number: int = 100) -> list[float]:
    """Return *number* times, evenly spread."""
    return [shortest + (longest - shortest) * (index + 0.5) / number for index in range(number)]


def test_without_any_sample_the_first_poll_comes_before_most_videos_are_done() -> None:
    """And after some time: nothing finishes in the first seconds."""
    model = DurationEstimator().model(SHORT)

    assert 15 < model.next_poll_delay(0.0, PRICE) < 60


def test_there_is_no_poll_long_before_the_shortest_duration() -> None:
    """Of tasks that take 90 to 150 seconds none is polled long before 90, and then often."""
    model = learned(*between(90, 150)).model(SHORT)

    assert 80 < model.next_poll_delay(0.0, PRICE) < 105
    assert 80 < 40 + model.next_poll_delay(40.0, PRICE) < 105
    assert model.next_poll_delay(100.0, PRICE) < 12
    assert model.next_poll_delay(140.0, PRICE) < model.next_poll_delay(100.0, PRICE)


def test_a_task_older_than_all_samples_is_polled_less_and_less_often_for_ever() -> None:
    model = learned(*between(90, 150)).model(SHORT)

    waits = [model.next_poll_delay(age, PRICE) for age in (300.0, 900.0, 3600.0)]
    assert sorted(waits) == waits
    assert all(10 < wait < 600 for wait in waits)


@given(
    st.lists(st.floats(0.01, 50_000), max_size=30),
    st.floats(0, 700_000),
    st.floats(1e-6, 1e6),
    st.floats(1, 100),
)
def test_there_is_always_a_next_poll_and_a_higher_price_never_makes_it_earlier(
    seconds: list[float], age: float, price: float, factor: float
) -> None:
    model = learned(*seconds).model(SHORT)

    cheap, dear = model.next_poll_delay(age, price), model.next_poll_delay(age, price * factor)
    assert 0 < cheap <= dear * 1.000001 < float("inf")


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0])
def test_seconds_and_hours_are_resolved_as_well_as_minutes(scale: float) -> None:
    times = between(90, 150)
    usual = learned(*times).model(SHORT)
    scaled = learned(*(scale * each for each in times)).model(SHORT)

    for age in (0.0, 60.0, 100.0, 130.0):
        assert scaled.next_poll_delay(age * scale, PRICE * scale) == pytest.approx(
            scale * usual.next_poll_delay(age, PRICE), rel=0.2
        )


def test_each_mode_resolution_and_length_has_a_model_of_its_own() -> None:
    """And nothing else of the request matters."""
    estimator = learned(*between(30, 40))
    for each in between(300, 400):
        estimator.add(estimator.model(LONG), each)

    assert 30 < estimator.model(SHORT).median < 40
    assert 300 < estimator.model(LONG).median < 400
    assert estimator.model(SHORT) is estimator.model({**SHORT, "prompt": "a plane", "seed": 7})


def test_a_model_without_samples_borrows_from_the_others() -> None:
    estimator = learned(*between(20, 30))
    model = estimator.model(LONG)

    assert not model.is_reliable
    assert 20 < model.median < 31
    assert 20 < estimator.model(None).median < 31


def test_a_model_is_reliable_after_three_samples() -> None:
    assert not learned(100, 110).model(SHORT).is_reliable
    assert learned(100, 110, 120, 105).model(SHORT).is_reliable


def test_old_samples_lose_weight() -> None:
    """When a provider becomes slower, the estimates follow."""
    estimator = learned(*between(50, 60, 1000), *between(100, 120, 1000))

    assert 100 < estimator.model(SHORT).median < 120


def test_saved_and_loaded_estimates_are_the_same() -> None:
    chance = random.Random(7)
    estimator = learned(*(chance.gauss(100, 10) for _ in range(500)))
    read = DurationEstimator()
    read.load(json.loads(json.dumps(estimator.to_data())))

    assert read.model(SHORT).is_reliable
    for age in (0.0, 80.0, 100.0):
        expected = estimator.model(SHORT).next_poll_delay(age, PRICE)
        assert expected == pytest.approx(read.model(SHORT).next_poll_delay(age, PRICE), rel=0.1)


def test_saved_estimates_take_a_few_kilobytes_however_many_samples_there_were() -> None:
    estimator = learned(*between(1, 10_000, 5000))

    assert len(json.dumps(estimator.to_data())) < 10_000


@pytest.mark.parametrize(
    "junk", [[], {"a": 7}, {"a": []}, {"a": {"x": 1, "-3": 1, "9999": 2, "5": "many", "6": -1, "7": None, "8": True}}]
)
def test_saved_data_that_cannot_be_read_is_skipped(junk: object) -> None:
    estimator = DurationEstimator()
    estimator.load(junk)

    assert DurationEstimator().model(SHORT).next_poll_delay(0.0, PRICE) == estimator.model(SHORT).next_poll_delay(
        0.0, PRICE
    )
