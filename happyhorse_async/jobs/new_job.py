"""A job that a caller wants, before it is known whether it becomes one."""

from __future__ import annotations

from attrs import frozen

from ..job import Job
from ..messages import HttpRequest


@frozen
class WantedJob:
    """A job that a caller here wants, and that was not recorded because another one has its key."""

    job: Job
    message: HttpRequest
