"""What was learned of how long tasks take, from one life of a client to the next."""

from __future__ import annotations

import json
import logging

from ..background import Background
from ..stores import TaskStore
from .estimator import DurationEstimator

_log = logging.getLogger("happyhorse_async")

# A process that is killed forgets what it has learned since.
_UNSAVED = 100


class EstimatorPersistence:
    """
    Keeps *durations* in a store. It is useful and no more than that: nothing fails where the store does.

    :param adapter: the name of the adapter. All clients of one store learn from one another, the last to write wins.
    """

    def __init__(self, store: TaskStore, estimator: DurationEstimator, adapter: str) -> None:
        self._store = store
        self._durations = estimator
        self._name = f"durations {adapter}"
        self._saved = 0
        self._writes = Background()

    async def load(self) -> None:
        """Begin with what the store knows."""
        try:
            text = await self._store.get_note(self._name)
            self._durations.take_over(json.loads(text or "{}"))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, one can do without
            _log.warning("what was learned earlier cannot be read: %s: %s", type(error).__name__, error)

    def grown(self) -> None:
        """Note that a task has ended, and write down what was learned from time to time."""
        if self._durations.learned >= self._saved + _UNSAVED and not self._writes:
            self._writes.spawn(self._save())

    async def _save(self) -> None:
        learned = self._durations.learned
        if learned == self._saved:
            return
        try:
            await self._store.put_note(self._name, json.dumps(self._durations.to_data(), separators=(",", ":")))
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("what was learned cannot be written down: %s: %s", type(error).__name__, error)
        self._saved = learned

    async def aclose(self) -> None:
        """Write down what is new."""
        await self._writes.aclose()
        await self._save()
