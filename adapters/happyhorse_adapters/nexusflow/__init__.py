"""nexusflow, a relay in front of Alibaba's DashScope."""

from .adapter import NexusFlowAdapter

__all__ = ["NexusFlowAdapter"]
