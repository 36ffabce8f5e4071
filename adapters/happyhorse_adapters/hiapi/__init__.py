"""HiAPI, a gateway to HappyHorse with one task interface for all its models."""

from .adapter import HiAPIAdapter

__all__ = ["HiAPIAdapter"]
