"""
How long tasks take, learned from those that have ended.

A histogram for each kind of task, on bins that grow by a constant factor, so that seconds and hours are held with the
same care. What a kind has not shown yet is filled from the other kinds, and what none has shown from a broad guess:
videos take from half a minute to ten. Older tasks count for less and less, since providers change their pace.
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
# Few tasks stand for many: each is spread over its neighbourhood.
_KERNEL = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)
# After so many further tasks, one counts for about a third.
_MEMORY = 200
# So many tasks of its own is the guess from elsewhere worth to a kind.
_BORROWED = 2.0
_FAMILIAR = 3.0
_HEAVIEST = 1e9

# https://help.aliyun.com/zh/model-studio/happyhorse-text-to-video-api-reference speaks of one to five minutes; queues
# and long videos make it more.
_GUESS_MEDIAN = 120.0
_GUESS_SPREAD = 0.9


def _guess() -> list[float]:
    def below(seconds: float) -> float:
        return 0.5 * math.erfc(-math.log(seconds / _GUESS_MEDIAN) / (_GUESS_SPREAD * math.sqrt(2)))

    levels = [0.0, *(below(edge) for edge in _EDGES[1:])]
    return [after - before for before, after in pairwise(levels)]


_GUESS = _guess()


class _Histogram:
    __slots__ = ("counts", "total", "weight")

    def __init__(self) -> None:
        self.counts = [0.0] * _BINS
        self.total = 0.0
        self.weight = 1.0

    @property
    def tasks(self) -> float:
        return self.total / self.weight

    def add(self, seconds: float) -> None:
        self.weight *= 1 + 1 / _MEMORY
        middle = _bin(seconds)
        for number, share in enumerate(_KERNEL, start=middle - len(_KERNEL) // 2):
            self.counts[min(max(number, 0), _BINS - 1)] += share * self.weight
        self.total += self.weight
        if self.weight > _HEAVIEST:
            self.scale(1 / self.weight)

    def scale(self, factor: float) -> None:
        self.counts = [count * factor for count in self.counts]
        self.total *= factor
        self.weight *= factor

    def blended(self, other: list[float]) -> list[float]:
        """Return the share of each bin, where *other* counts as much as a few tasks."""
        tasks = self.tasks + _BORROWED
        own = 1 / (self.weight * tasks)
        borrowed = _BORROWED / tasks
        return [count * own + share * borrowed for count, share in zip(self.counts, other, strict=True)]


class DurationModel:
    """What is known of one kind of task. Ask `DurationEstimator` for it."""

    __slots__ = ("_alive", "_all", "_own", "_shares", "_unused", "median")

    def __init__(self, own: _Histogram, everything: _Histogram) -> None:
        self._own = own
        self._all = everything
        self._unused = 0
        self._refresh()

    @property
    def is_familiar(self) -> bool:
        """Whether enough tasks of this kind have ended to rely on them."""
        return self._own.tasks >= _FAMILIAR

    def add(self, seconds: float) -> None:
        """Learn that a task of this kind took *seconds*."""
        self._own.add(seconds)
        if self._all is not self._own:
            self._all.add(seconds)
        self._unused += 1
        # The more is known, the less does one more change.
        if self._unused * 20 > self._own.tasks:
            self._refresh()

    def _refresh(self) -> None:
        borrowed = _GUESS if self._all is self._own else self._all.blended(_GUESS)
        self._shares = self._own.blended(borrowed)
        self._alive = [*accumulate(reversed(self._shares))][::-1]
        self._unused = 0
        half = self._alive[0] / 2
        self.median = _EDGES[next((number for number, alive in enumerate(self._alive) if alive < half), _BINS)]

    def patience(self, age: float, price: float) -> float:
        """
        Seconds until a look pays at a task that still went on when it was *age* seconds old.

        A look costs as much as *price* seconds for which an end goes unnoticed: it pays as soon as that many are to be
        expected.
        """
        age = min(age, _LONGEST)
        number = _bin(age)
        share = self._shares[number]
        begins, ends = _EDGES[number], _EDGES[number + 1]
        alive = self._alive[number] - share * (age - begins) / (ends - begins)
        left = price * max(alive, 1e-12)
        ended, now = 0.0, age
        while True:
            width = ends - now
            density = share / (ends - begins)
            unnoticed = width * (ended + density * width / 2)
            if unnoticed >= left or number + 2 >= _BINS:
                return now - age + _root(density, ended, left)
            left -= unnoticed
            ended += density * width
            number += 1
            now = begins = ends
            ends = _EDGES[number + 1]
            share = self._shares[number]


class DurationEstimator:
    """What is known of the tasks of one provider, kind by kind."""

    def __init__(self) -> None:
        self._histograms = {"": _Histogram()}
        self._kinds: dict[str, DurationModel] = {}
        self.learned = 0
        """How many tasks have been learned from since the start."""

    def kind(self, request: Mapping[str, Any] | None) -> DurationModel:
        """Return what is known of the kind of task that *request*, as plain data, makes; of all where there is none."""
        name = "" if request is None else " ".join(str(request.get(field, "-")) for field in _FIELDS)
        if name not in self._kinds:
            own = self._histograms.setdefault(name, _Histogram())
            self._kinds[name] = DurationModel(own, self._histograms[""])
        return self._kinds[name]

    def add(self, kind: DurationModel, seconds: float) -> None:
        """Learn that a task of *kind* took *seconds*."""
        self.learned += 1
        kind.add(seconds)

    def to_data(self) -> dict[str, Any]:
        """Write down what was learned, as plain data."""
        return {
            name: {str(number): round(count / known.weight, 3) for number, count in enumerate(known.counts) if count}
            for name, known in self._histograms.items()
            if known.total
        }

    def take_over(self, data: object) -> None:
        """Begin with what `to_data` wrote down at another time. What cannot be read is left out."""
        for name, counts in _items(data):
            known = self._histograms.setdefault(name, _Histogram())
            for number, count in _items(counts):
                if number.isdecimal() and int(number) < _BINS and type(count) in (int, float) and 0 < count < _HEAVIEST:
                    known.counts[int(number)] += count
                    known.total += count
        self._kinds.clear()


def _items(data: object) -> Iterable[tuple[str, Any]]:
    return cast("dict[str, Any]", data).items() if isinstance(data, dict) else ()


# What the time depends on: https://help.aliyun.com/zh/model-studio/happyhorse-text-to-video-api-reference
_FIELDS = ("mode", "resolution", "duration")


def _bin(seconds: float) -> int:
    return min(bisect_right(_EDGES, seconds), _BINS) - 1


def _root(density: float, ended: float, left: float) -> float:
    """Solve `ended * x + density * x² / 2 = left`."""
    root = math.sqrt(ended * ended + 2 * density * left)
    return 2 * left / (ended + root) if root else 0.0
