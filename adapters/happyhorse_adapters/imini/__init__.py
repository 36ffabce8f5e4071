"""imini Open Platform, a unified gateway."""

from .adapter import IminiAdapter

__all__ = ["IminiAdapter"]
