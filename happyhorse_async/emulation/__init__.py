"""
The contract between the emulator and a provider's server side.

An *emulated API* is the counterpart of an adapter: it reads the requests that the adapter writes, and writes the
responses that the adapter reads. **It never performs I/O**, reads no clock, uses no random numbers and keeps no state:
the emulator does all that.

An emulated API must not import the adapter of its provider nor share a class with it, or a misspelt field would be
misspelt on both sides and never be noticed. To add one, write a class that inherits `EmulatedAPI` and register it under
the entry-point group `happyhorse_async.emulated_apis`.
"""

from __future__ import annotations

from .contract import BalanceCall as BalanceCall
from .contract import Call as Call
from .contract import CallbackNotice as CallbackNotice
from .contract import CallbackRules as CallbackRules
from .contract import CancelCall as CancelCall
from .contract import EmulatedAPI as EmulatedAPI
from .contract import FetchCall as FetchCall
from .contract import GrantCall as GrantCall
from .contract import Job as Job
from .contract import JobPage as JobPage
from .contract import KeysCall as KeysCall
from .contract import ListCall as ListCall
from .contract import PolicyCall as PolicyCall
from .contract import ProviderLimits as ProviderLimits
from .contract import RateLimit as RateLimit
from .contract import ResultCall as ResultCall
from .contract import StorageGrant as StorageGrant
from .contract import StoragePolicy as StoragePolicy
from .contract import SubmitCall as SubmitCall
from .contract import UploadCall as UploadCall
from .contract import json_answer as json_answer
from .contract import media_kind as media_kind
from .contract import path_of as path_of
from .contract import query_of as query_of
from .errors import ApiError as ApiError
from .errors import ApiFault as ApiFault
from .errors import ErrorReply as ErrorReply
from .fields import Fields as Fields
from .forms import form_fields as form_fields

__all__ = [
    "ApiError",
    "ApiFault",
    "BalanceCall",
    "Call",
    "CallbackNotice",
    "CallbackRules",
    "CancelCall",
    "EmulatedAPI",
    "ErrorReply",
    "FetchCall",
    "Fields",
    "GrantCall",
    "Job",
    "JobPage",
    "KeysCall",
    "ListCall",
    "PolicyCall",
    "ProviderLimits",
    "RateLimit",
    "ResultCall",
    "StorageGrant",
    "StoragePolicy",
    "SubmitCall",
    "UploadCall",
    "form_fields",
    "json_answer",
    "media_kind",
    "path_of",
    "query_of",
]
