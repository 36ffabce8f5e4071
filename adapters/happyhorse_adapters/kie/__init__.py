"""KIE, a market of models with one task interface: https://docs.kie.ai/."""

from .adapter import KieAdapter

__all__ = ["KieAdapter"]
