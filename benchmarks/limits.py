"""Limits of the library that leave the provider's own the only ones."""

from __future__ import annotations

from typing import Any

from attrs import fields_dict

import happyhorse_async as hh

_FAR = 1_000_000


def submits_unlimited() -> hh.Limits:
    """Make limits with the adapter's own budget of queries, and none of submits and of what runs."""
    return _limits(submits_per_second=_FAR, max_concurrent_submits=100, max_running=_FAR)


def unlimited() -> hh.Limits:
    """Make limits that leave nothing but a hundred connections, as many as the floor has."""
    return _limits(
        queries_per_second=_FAR,
        submits_per_second=_FAR,
        requests_at_once=100,
        max_concurrent_queries=100,
        max_concurrent_submits=100,
        max_running=_FAR,
    )


def _limits(**wanted: Any) -> hh.Limits:
    # So that other versions of the library can be measured, what one of them does not have is left out.
    return hh.Limits(**{name: value for name, value in wanted.items() if name in fields_dict(hh.Limits)})
