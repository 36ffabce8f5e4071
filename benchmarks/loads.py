"""The jobs of a benchmark: when each is submitted, and how long it takes. The same for every client."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

SECONDS = 120.0
SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Job:
    at: float
    seconds: float
    note: str = ""
    """More text of the prompt."""

    @property
    def prompt(self) -> str:
        return f"A video that takes {self.seconds:.3f} s to make{self.note}"


@dataclass(frozen=True, slots=True)
class Load:
    jobs: tuple[Job, ...]
    running: int | None = None
    """How many tasks the provider runs at once; `None` for all."""
    others: tuple[Job, ...] = ()
    """The jobs of another process of the same account."""
    patience: float = 3 * 3600.0
    """Seconds after the last submit, after which a job whose end was not noticed counts as lost."""

    @property
    def of_others(self) -> list[tuple[float, float]]:
        """When another process submits jobs, and how long they take."""
        return [(job.at, job.seconds) for job in self.others]


def steady(in_flight: int, length: float, chance: random.Random) -> Load:
    """A constant number in flight."""
    return Load(tuple(_arriving(lambda _: in_flight / SECONDS, length, chance)))


def few(in_flight: int, length: float, chance: random.Random) -> Load:
    """A fiftieth of that number."""
    return steady(max(1, in_flight // 50), length, chance)


def bursts(in_flight: int, length: float, chance: random.Random) -> Load:
    """All at once, every ten minutes."""
    times = [600.0 * number for number in range(math.ceil(length / 600))]
    return Load(tuple(Job(at, _seconds(chance)) for at in times for _ in range(in_flight)))


def day_and_night(in_flight: int, length: float, chance: random.Random) -> Load:
    """From a tenth of the mean to nearly twice the mean and back, within an hour."""

    def rate(at: float) -> float:
        return in_flight / SECONDS * (1 - 0.9 * math.cos(2 * math.pi * at / 3600))

    return Load(tuple(_arriving(rate, length, chance)))


def bimodal(in_flight: int, length: float, chance: random.Random) -> Load:
    """Half of the jobs take four times as long as the other half, and they cannot be told apart."""
    arriving = _arriving(lambda _: in_flight / (2.5 * SECONDS / 2), length, chance)
    return Load(tuple(Job(job.at, job.seconds * chance.choice([0.5, 2.0])) for job in arriving))


def slow(in_flight: int, _: float, chance: random.Random) -> Load:
    """All at once to a provider that runs one in twenty of them at a time: five of a hundred."""
    return Load(tuple(Job(0.0, _seconds(chance)) for _ in range(in_flight)), running=max(1, in_flight // 20))


def drifting(in_flight: int, length: float, chance: random.Random) -> Load:
    """Halfway through, the provider becomes twice as slow."""
    arriving = _arriving(lambda _: in_flight / (1.5 * SECONDS), length, chance)
    return Load(tuple(Job(job.at, job.seconds * (1 if job.at < length / 2 else 2)) for job in arriving))


def shared(in_flight: int, length: float, chance: random.Random) -> Load:
    """A constant number in flight, and as many of another process of the same account."""
    return replace(steady(in_flight, length, chance), others=steady(in_flight, length, chance).jobs)


SHAPES: dict[str, Callable[[int, float, random.Random], Load]] = {
    "steady": steady,
    "few": few,
    "bursts": bursts,
    "day-and-night": day_and_night,
    "bimodal": bimodal,
    "slow": slow,
    "drifting": drifting,
    "shared": shared,
}


def _arriving(rate: Callable[[float], float], length: float, chance: random.Random) -> Iterator[Job]:
    at = 0.0
    while (at := at + chance.uniform(0.5, 1.5) / rate(at)) < length:
        yield Job(at, _seconds(chance))


def _seconds(chance: random.Random) -> float:
    return SECONDS * chance.uniform(1 - SPREAD, 1 + SPREAD)
