"""Faults of the upload storage."""

from __future__ import annotations

from ...emulation import ErrorReply
from .fault import UPLOADS, Fault


def refused_upload(status: int, code: str, message: str) -> Fault:
    """Answer like a storage that refuses the file."""
    reply = ErrorReply(status=status, code=code, message=message)
    return Fault(
        f"the storage does not take the file: a {status} {code}",
        on=UPLOADS,
        accepted=False,
        response=lambda response, call: call.refuse(reply),
    )


UPLOADED: dict[str, Fault] = {
    "expired-policy": refused_upload(403, "AccessDenied", "Invalid according to Policy: Policy expired."),
    "file-exists": refused_upload(409, "FileAlreadyExists", "The object you specified already exists."),
    "file-too-large": refused_upload(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."),
    "storage-busy": refused_upload(503, "SlowDown", "Please reduce your request rate."),
    "storage-broken": refused_upload(500, "InternalError", "We encountered an internal error. Please try again."),
}
"""By name."""
