"""
How waiting works: one poller for all tasks of a client.

`poller` polls and records what it sees; `poll_queue` knows which task is due; `intervals` decides when a task is polled
next, from what `estimator` has learned and `persistence` keeps; `list_index` finds many tasks with one request to the
provider's list.
"""

from .persistence import EstimatorPersistence
from .poller import Poller

__all__ = ["EstimatorPersistence", "Poller"]
