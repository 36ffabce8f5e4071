"""The front door, and what a program gets through it: handles, batches, jobs, lists, plans."""

from .batch import Batch as Batch
from .batch import Outcome as Outcome
from .client import Client as Client
from .handle import JobHandle as JobHandle
from .handle import TaskHandle as TaskHandle
from .handle import TaskUpdates as TaskUpdates
from .job_info import JobInfo as JobInfo
from .plan import Plan as Plan
from .task_list import TaskList as TaskList
