"""What the tests of budgets share: a store on disk, prices, and a client of the gateway under a budget."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

PRICES = {"currency": "USD", "720P": "0.20"}
"""What five seconds cost: 1 USD."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def spending(fifth: Any, gateway: Any, path: Path) -> Callable[..., AbstractAsyncContextManager[hh.Client]]:
    """Open a client that may spend so much."""

    def spending(*limits: str, per: Any = "day", adapter: Any = None, **options: Any) -> Any:
        prices = options.pop("prices", PRICES)
        account = hh.Provider(
            "fifth", adapter=adapter or fifth.adapter(), api_key="sk-1", base_url=gateway.url, prices=prices
        )
        given = {"store": hh.SQLiteStore(path), "poll": hh.PollSchedule(interval=3600), **options}
        return hh.Client(account, budget=hh.Budget(*limits, per=per), **given)

    return spending
