"""
The studio: a web page on this machine on which videos are made and watched.

A server on a loopback address, with plain HTML, CSS and JavaScript from this package. It uses a `Client` like any other
program, and shows the journal.
"""

from .server import Studio
from .workshop import Workshop

__all__ = ["Studio", "Workshop"]
