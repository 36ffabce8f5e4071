"""
How waiting works: one poller for all tasks of a client.

`poller` looks and takes in what it sees; `agenda` knows what is due; `cadence` says when to look next, from what
`durations` has learned and `experience` keeps; `pages` finds many tasks with one request to the provider's list.
"""

from .persistence import EstimatorPersistence
from .poller import Poller

__all__ = ["EstimatorPersistence", "Poller"]
