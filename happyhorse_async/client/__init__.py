"""The public API: clients, handles, batches, jobs, lists, plans."""

from .batch import Batch as Batch
from .batch import Failed as Failed
from .batch import JobRequest as JobRequest
from .batch import Outcome as Outcome
from .batch import Succeeded as Succeeded
from .client import Client as Client
from .handle import JobHandle as JobHandle
from .handle import TaskHandle as TaskHandle
from .handle import TaskUpdates as TaskUpdates
from .health import AccountHealth as AccountHealth
from .health import Health as Health
from .job_info import JobInfo as JobInfo
from .media import MediaPlan as MediaPlan
from .plan import Plan as Plan
from .plan import Rejection as Rejection
from .provider import Provider as Provider
from .task_list import TaskList as TaskList
