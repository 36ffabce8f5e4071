"""
Webhooks (callbacks): a receiver that verifies the calls of a provider, and adapters for web frameworks.

The receiver knows no provider. The adapter decides what a call means and whether it is genuine; the client decides what
follows from it.
"""

from __future__ import annotations

from .receiver import CallbackReceiver

__all__ = ["CallbackReceiver"]
