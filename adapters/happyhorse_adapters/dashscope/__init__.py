"""Alibaba Cloud Model Studio (DashScope): every HappyHorse model, straight from its maker."""

from .adapter import DashScopeAdapter

__all__ = ["DashScopeAdapter"]
