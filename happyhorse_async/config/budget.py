"""The table `[budget]`: how much may be spent."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from ..budget import Budget


@frozen(kw_only=True)
class BudgetSettings:
    """
    The table as it is written.

    :raises ConfigurationError: an amount or a period that cannot be read.
    """

    limit: Any
    """An amount such as `50 USD`, or a list of them, one for each currency."""
    per: str = "day"
    """`hour`, `day`, `month` or `total`."""
    budget: Budget = field(init=False)
    """What they mean."""

    @budget.default
    def _read(self) -> Budget:
        return Budget(self.limit, per=self.per)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
