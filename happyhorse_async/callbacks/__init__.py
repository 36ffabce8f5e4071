"""
Webhooks (callbacks): a receiver that verifies a provider's calls, and adapters for web frameworks.

The receiver knows no provider. The adapter decides what a call means and whether it is genuine; the client acts on it.
"""

from __future__ import annotations

from .receiver import CallbackReceiver

__all__ = ["CallbackReceiver"]
