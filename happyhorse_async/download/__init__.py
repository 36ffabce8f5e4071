"""
Bringing a finished video to disk, whole or not at all.

The video is streamed to a temporary file beside its target, checked, made durable and renamed. What stands at the
target is either what stood there before or the whole video.
"""

from __future__ import annotations

from .fetch import Progress as Progress
from .fetch import download as download
from .manager import Downloads as Downloads
from .policy import DownloadPolicy as DownloadPolicy
