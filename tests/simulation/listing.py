"""The task list of the simulated provider, which shows how tasks stand, and its bad manners."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# "hidden": some tasks are never shown. "dropped": any row may be missing. "late": a task appears after a while.
# "stale": rows show how things stood some time ago. "early": an end that is none. "words": a word that nobody knows.
# "back": queued although it runs. "shallow": only the first page comes. "strict": many lists are refused.
_MANNERS = ("hidden", "dropped", "late", "stale", "early", "words", "back", "shallow", "strict")


def show_all(billed: Mapping[str, Any], fault: str) -> tuple[dict[str, Any], int]:
    """Return a good list of all tasks, and its status."""
    if fault in ("500", "429"):
        return {"error": "no"}, int(fault)
    if fault == "junk":
        return {"junk": 1}, 200
    now, created = asyncio.get_running_loop().time(), datetime.now(UTC).isoformat()
    rows = [
        {"id": task.task_id, "status": task.end if task.ends_at <= now else "running", "created": created}
        for task in reversed(billed.values())
    ]
    # A task may take a while to appear.
    return {"tasks": [] if fault == "404" else rows}, 200


class Listing:
    """All tasks of an account, those of others included, in pages."""

    def __init__(self, world: Any) -> None:
        chance = world.chance("list")
        self.is_whole = chance.random() < 0.4
        self.told: Counter[str] = Counter()
        self._world = world
        self._size = chance.choice([2, 4, 6, 10, 50])
        self._stated = chance.choice(["right", "right", "right", "not", "wrong"])
        self._order = chance.choice(["newest first"] * 6 + ["oldest first", "no order"])
        self._foreign = chance.choice([0, 0, 1, 4])
        self._manners = {manner for manner in _MANNERS if chance.random() < 0.2}
        self._lag = chance.uniform(1, 100)
        self._names: list[tuple[str, float]] = []
        self._shown = 0

    def take(self, name: str) -> None:
        """Put a task on the list, and with it some that others have submitted meanwhile."""
        now = asyncio.get_running_loop().time()
        self._names.append((name, now))
        for number in range(self._world.chance("foreign", name).randint(0, 2 * self._foreign)):
            self._names.append((f"foreign-{name}-{number}", now))

    def show(self, page: int, size: int, fault: str) -> tuple[dict[str, Any], int]:
        """Return a page and its status."""
        self._shown += 1
        chance = self._world.chance("page", self._shown)
        if "strict" in self._manners and chance.random() < 0.3:
            fault = "429"
        if "shallow" in self._manners and page > 1:
            fault = "500"
        self.told[fault] += 1
        if fault in ("500", "429", "404"):
            return {"error": "no"}, int(fault)
        if fault == "junk":
            return {"junk": 1}, 200
        size = min(size, self._size)
        names = self._visible()[(page - 1) * size : page * size]
        rows = [row for name in names if (row := self._row(name, chance))]
        stated = {"right": {"size": size}, "not": {}, "wrong": {"size": chance.choice([1, 7, 10**9])}}
        return {"tasks": rows, **stated[self._stated]}, 200

    def _visible(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        lag = self._lag if "late" in self._manners else 0.0
        names = [name for name, at in self._names if at + lag <= now]
        if self._order == "no order":
            self._world.chance("order").shuffle(names)
        return names if self._order == "oldest first" else names[::-1]

    def _row(self, name: str, chance: Any) -> dict[str, Any] | None:
        task = self._world.billed.get(name)
        if task is None:
            return {"id": name, "status": "running"}
        if "hidden" in self._manners and self._world.chance("hidden", name).random() < 0.3:
            return None
        if "dropped" in self._manners and chance.random() < 0.2:
            return None
        now = asyncio.get_running_loop().time()
        has_ended = now - (self._lag if "stale" in self._manners else 0.0) >= task.ends_at
        word = task.end if has_ended else "running"
        urls = [f"https://files.example/{name}.mp4"] if word == "done" and self.is_whole else []
        if chance.random() < 0.2:
            wrong = {"early": ("done", []), "words": ("pondering", []), "back": ("queued", [])}
            word, urls = next((wrong[manner] for manner in wrong if manner in self._manners), (word, urls))
        self.told[word] += 1
        return {"id": name, "status": word, "urls": urls}
