"""Limits of the library under which only the provider's own limits apply."""

from __future__ import annotations

from typing import Any

from attrs import fields_dict

import happyhorse_async as hh

_FAR = 1_000_000


def submits_unlimited() -> hh.Limits:
    """Return limits with the adapter's own limit on queries, and none on submits and running tasks."""
    return _limits(submits_per_second=_FAR, max_concurrent_submits=100, max_running=_FAR)


def unlimited() -> hh.Limits:
    """Return limits of nothing but a hundred connections, as many as the baseline has."""
    return _limits(
        queries_per_second=_FAR,
        submits_per_second=_FAR,
        max_concurrent_queries=100,
        max_concurrent_submits=100,
        max_running=_FAR,
    )


def _limits(**wanted: Any) -> hh.Limits:
    # Limits that another version of the library does not have are left out, so that it can be measured.
    return hh.Limits(**{name: value for name, value in wanted.items() if name in fields_dict(hh.Limits)})
