"""
Where a provider calls us: a receiver that verifies a call, and what mounts it into a web app.

The receiver knows no provider. What a call means, and what proves it, is the adapter's; what becomes of it is the
client's.
"""

from __future__ import annotations

from .receiver import CallbackReceiver

__all__ = ["CallbackReceiver"]
