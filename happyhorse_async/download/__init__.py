"""
Downloads a finished video to disk, complete or not at all, or streams it.

A video is written to a temporary file beside its target, checked, made durable and renamed. The target is either
unchanged or the complete video.
"""

from __future__ import annotations

from .manager import Downloads as Downloads
from .manager import Progress as Progress
from .manager import download as download
from .naming import file_name as file_name
from .policy import DownloadPolicy as DownloadPolicy
from .stream import VideoStream as VideoStream
from .target import absolute as absolute
from .target import check_target as check_target
