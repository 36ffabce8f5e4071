"""fal, a host of many models with one queue for all of them."""

from .adapter import FalAdapter

__all__ = ["FalAdapter"]
