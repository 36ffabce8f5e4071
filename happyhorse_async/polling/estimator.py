"""
Learns how long tasks take from those that have ended.

There is one histogram for each kind of request, with bins that grow by a constant factor, so that seconds and hours are
resolved equally well. A kind with few samples is filled from all others (the prior), and without any samples from a
broad guess: half a minute to ten minutes. Older tasks lose weight, because providers change their speed.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any, cast

_SHORTEST = 0.05
_GROWTH = 1.08
_BINS = 180
_EDGES = [0.0, *(_SHORTEST * _GROWTH**number for number in range(_BINS))]
_LONGEST = _EDGES[-2]
# Smooths each sample over neighbouring bins (triangular kernel).
_KERNEL = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)
# After so many further samples, a sample weighs about a third.
_MEMORY = 200
# Weight of the prior, in samples.
_PRIOR_WEIGHT = 2.0
_RELIABLE_FROM = 3.0
_LARGEST_WEIGHT = 1e9
# The duration of a task depends on these fields of the request. The provider's page speaks of one to five minutes;
# queues and long videos make it more.
# https://help.aliyun.com/zh/model-studio/happyhorse-text-to-video-api-reference
_FIELDS = ("mode", "resolution", "duration")
_GUESS_MEDIAN = 120.0
_GUESS_SPREAD = 0.9


def _guess() -> list[float]:
    """Return the share of each bin in a log-normal distribution."""

    def below(seconds: float) -> float:
        return 0.5 * math.erfc(-math.log(seconds / _GUESS_MEDIAN) / (_GUESS_SPREAD * math.sqrt(2)))

    levels = [0.0, *(below(edge) for edge in _EDGES[1:])]
    return [after - before for before, after in pairwise(levels)]


_GUESS = _guess()


class _Histogram:
    """Exponentially weighted counts. Old counts are not reduced with each sample; the weight of new ones grows."""

    __slots__ = ("counts", "total", "weight")

    def __init__(self) -> None:
        self.counts = [0.0] * _BINS
        self.total = 0.0
        self.weight = 1.0

    @property
    def samples(self) -> float:
        """The effective number of samples."""
        return self.total / self.weight

    def add(self, seconds: float) -> None:
        self.weight *= 1 + 1 / _MEMORY
        middle = _bin(seconds)
        for number, share in enumerate(_KERNEL, start=middle - len(_KERNEL) // 2):
            self.counts[min(max(number, 0), _BINS - 1)] += share * self.weight
        self.total += self.weight
        if self.weight > _LARGEST_WEIGHT:
            self._scale(1 / self.weight)

    def _scale(self, factor: float) -> None:
        self.counts = [count * factor for count in self.counts]
        self.total *= factor
        self.weight *= factor

    def with_prior(self, prior: list[float]) -> list[float]:
        """Return the share of each bin, with *prior* weighing as much as a few samples."""
        samples = self.samples + _PRIOR_WEIGHT
        own = 1 / (self.weight * samples)
        borrowed = _PRIOR_WEIGHT / samples
        return [count * own + share * borrowed for count, share in zip(self.counts, prior, strict=True)]


class DurationModel:
    """The learned durations of tasks for one kind of request. Made by `DurationEstimator.model`."""

    __slots__ = ("_all", "_longer", "_not_used_yet", "_own", "_shares", "median")

    def __init__(self, own: _Histogram, everything: _Histogram) -> None:
        self._own = own
        self._all = everything
        self._not_used_yet = 0
        self._refresh()

    @property
    def is_reliable(self) -> bool:
        """Whether enough tasks of this kind have ended."""
        return self._own.samples >= _RELIABLE_FROM

    def add(self, seconds: float) -> None:
        """Learn that a task of this kind took *seconds*."""
        self._own.add(seconds)
        if self._all is not self._own:
            self._all.add(seconds)
        self._not_used_yet += 1
        # The more samples there are, the less one more changes.
        if self._not_used_yet * 20 > self._own.samples:
            self._refresh()

    def _refresh(self) -> None:
        prior = _GUESS if self._all is self._own else self._all.with_prior(_GUESS)
        self._shares = self._own.with_prior(prior)
        # The share of tasks that take longer than the lower edge of each bin.
        self._longer = [*accumulate(reversed(self._shares))][::-1]
        self._not_used_yet = 0
        half = self._longer[0] / 2
        self.median = _EDGES[next((number for number, longer in enumerate(self._longer) if longer < half), _BINS)]

    def next_poll_delay(self, age: float, price: float) -> float:
        """
        Return the seconds until a poll pays off, for a task that has not ended at *age* seconds.

        Let F(t) be the share of tasks that end within t seconds. If the next poll comes at age T, an end at t goes
        unnoticed for T - t seconds. The expected value of that, given that the task has not ended at *age*, is

            U(T) = integral from age to T of (F(t) - F(age)) dt / (1 - F(age))

        It is zero at first and grows ever faster. A poll costs as much as *price* unnoticed seconds, so it pays at the
        T where U(T) = *price*. Inside a bin of the histogram the density is constant, so F is linear and the integral
        quadratic: the loop subtracts the integral over whole bins, and solves a quadratic equation in the last one.
        """
        age = min(age, _LONGEST)
        number = _bin(age)
        share, begins, ends = self._shares[number], _EDGES[number], _EDGES[number + 1]
        not_ended = self._longer[number] - share * (age - begins) / (ends - begins)
        left = price * max(not_ended, 1e-12)
        # F(t) - F(age), and t.
        ended, now = 0.0, age
        while True:
            width, density = ends - now, share / (ends - begins)
            integral = width * (ended + density * width / 2)
            if integral >= left or number + 2 >= _BINS:
                return now - age + _root(density, ended, left)
            left -= integral
            ended += density * width
            number += 1
            now = begins = ends
            share, ends = self._shares[number], _EDGES[number + 1]


class DurationEstimator:
    """The learned durations of one provider's tasks, by kind of request."""

    def __init__(self) -> None:
        self._histograms = {"": _Histogram()}
        self._models: dict[str, DurationModel] = {}
        self.learned = 0
        """The number of samples since the start."""

    def model(self, request: Mapping[str, Any] | None) -> DurationModel:
        """
        Return the model for tasks like that of *request*, which are those of the same mode, resolution and length.

        :param request: as plain data; `None` for the model of all tasks.
        """
        name = "" if request is None else " ".join(str(request.get(field, "-")) for field in _FIELDS)
        if name not in self._models:
            own = self._histograms.setdefault(name, _Histogram())
            self._models[name] = DurationModel(own, self._histograms[""])
        return self._models[name]

    def add(self, model: DurationModel, seconds: float) -> None:
        """Learn that a task of *model* took *seconds*."""
        self.learned += 1
        model.add(seconds)

    def to_data(self) -> dict[str, Any]:
        """Return the learned durations as plain data."""
        return {
            name: {str(number): round(count / known.weight, 3) for number, count in enumerate(known.counts) if count}
            for name, known in self._histograms.items()
            if known.total
        }

    def load(self, data: object) -> None:
        """Add data that `to_data` returned earlier. Entries that cannot be read are skipped."""
        for name, counts in _items(data):
            known = self._histograms.setdefault(name, _Histogram())
            for number, count in _items(counts):
                is_bin = number.isdecimal() and int(number) < _BINS
                if is_bin and type(count) in (int, float) and 0 < count < _LARGEST_WEIGHT:
                    known.counts[int(number)] += count
                    known.total += count
        self._models.clear()


def _items(data: object) -> Iterable[tuple[str, Any]]:
    return cast("dict[str, Any]", data).items() if isinstance(data, dict) else ()


def _bin(seconds: float) -> int:
    return min(bisect_right(_EDGES, seconds), _BINS) - 1


def _root(density: float, ended: float, left: float) -> float:
    """Return the positive x that solves `ended * x + density * x² / 2 = left`."""
    root = math.sqrt(ended * ended + 2 * density * left)
    return 2 * left / (ended + root) if root else 0.0
