"""
Functions for authors of adapters: from a request to the bytes of a message, and from a response to a task or an error.

An adapter knows its provider's fields, words and codes. The rest is here: the API key in the right header, lenient JSON
reading, timestamps, result URLs in any form, synonyms of status words, and errors that say whether a paid request may
have been accepted. Nothing here performs I/O.
"""

from __future__ import annotations

from .error_mapping import ErrorClass as ErrorClass
from .error_mapping import class_by_status as class_by_status
from .error_mapping import error_from_response as error_from_response
from .error_mapping import failure_reason as failure_reason
from .error_mapping import is_code as is_code
from .error_mapping import plain_text as plain_text
from .error_mapping import task_failure as task_failure
from .http import BEARER as BEARER
from .http import KEY as KEY
from .http import AuthScheme as AuthScheme
from .http import form_request as form_request
from .http import has_no_content as has_no_content
from .http import json_request as json_request
from .http import read_callback as read_callback
from .http import read_json as read_json
from .http import read_object as read_object
from .http import read_refusal as read_refusal
from .http import request_id as request_id
from .lax import Lax as Lax
from .lax import Percent as Percent
from .lax import structure as structure
from .options import check_switch as check_switch
from .results import FoundVideo as FoundVideo
from .results import find_videos as find_videos
from .results import require_video as require_video
from .statuses import from_epoch as from_epoch
from .statuses import parse_datetime as parse_datetime
from .statuses import read_status as read_status
from .statuses import url_expiry as url_expiry

__all__ = [
    "BEARER",
    "KEY",
    "AuthScheme",
    "ErrorClass",
    "FoundVideo",
    "Lax",
    "Percent",
    "check_switch",
    "class_by_status",
    "error_from_response",
    "failure_reason",
    "find_videos",
    "form_request",
    "from_epoch",
    "has_no_content",
    "is_code",
    "json_request",
    "parse_datetime",
    "plain_text",
    "read_callback",
    "read_json",
    "read_object",
    "read_refusal",
    "read_status",
    "request_id",
    "require_video",
    "structure",
    "task_failure",
    "url_expiry",
]
