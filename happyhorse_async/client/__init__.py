"""The front door, and what a program gets through it: handles, batches, lists, plans."""

from .batch import Batch as Batch
from .batch import Failed as Failed
from .batch import JobRequest as JobRequest
from .batch import Outcome as Outcome
from .batch import Succeeded as Succeeded
from .client import Client as Client
from .handle import TaskHandle as TaskHandle
from .plan import Plan as Plan
from .task_list import TaskList as TaskList
