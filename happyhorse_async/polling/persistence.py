"""Keeps learned task durations in the store between runs of the client."""

from __future__ import annotations

import json

from ..background import Background
from ..logs import get_logger
from ..stores import TaskStore
from .estimator import DurationEstimator

_log = get_logger(__name__)

# A process that is killed loses what it has learned since the last save.
_SAVE_EVERY = 100


class EstimatorPersistence:
    """
    Loads and saves the data of an estimator. If the store fails, a warning is logged and nothing else fails.

    :param adapter: the name of the adapter. All clients of a store share what they learn; the last save wins.
    """

    def __init__(self, store: TaskStore, estimator: DurationEstimator, adapter: str) -> None:
        self._store = store
        self._estimator = estimator
        self._note = f"durations {adapter}"
        self._saved = 0
        self._writes = Background()

    async def load(self) -> None:
        """Load the stored data."""
        try:
            text = await self._store.get_note(self._note)
            self._estimator.load(json.loads(text or "{}"))
        except Exception as error:  # noqa: BLE001 - learned durations are useful, but not necessary
            _log.warning("learned task durations cannot be loaded: %s: %s", type(error).__name__, error)

    def save_periodically(self) -> None:
        """Save in the background if enough was learned since the last save. Call it when a task has ended."""
        if self._estimator.learned >= self._saved + _SAVE_EVERY and not self._writes:
            self._writes.spawn(self._save())

    async def _save(self) -> None:
        learned = self._estimator.learned
        if learned == self._saved:
            return
        try:
            await self._store.put_note(self._note, json.dumps(self._estimator.to_data(), separators=(",", ":")))
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("learned task durations cannot be saved: %s: %s", type(error).__name__, error)
        self._saved = learned

    async def aclose(self) -> None:
        """Save new data."""
        await self._writes.aclose()
        await self._save()
