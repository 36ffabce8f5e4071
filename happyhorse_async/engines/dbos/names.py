"""Names in the tables of DBOS. Other processes, also of other releases, depend on them."""

from __future__ import annotations

WORKFLOW = "happyhorse_run"
EXECUTOR = "happyhorse:"
"""Executors of this prefix are processes whose liveness the journal knows. Others are somebody else's."""
