"""The table `[budget]`: spending limits."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from ..budget import Budget


@frozen(kw_only=True)
class BudgetSettings:
    """
    The table `[budget]` of the file.

    :raises ConfigurationError: an amount or a period that cannot be read.
    """

    limit: Any
    """An amount such as `50 USD`, or a list of them, one for each currency."""
    per: str = "day"
    """`hour`, `day`, `month` or `total`."""

    def __attrs_post_init__(self) -> None:
        self.budget()

    def budget(self) -> Budget:
        """Return the budget."""
        per: Any = self.per
        return Budget(self.limit, per=per)
