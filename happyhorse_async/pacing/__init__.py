"""How much is asked of an account at once, and how fast: all that waits before it is sent waits here."""

from .budget import Budget as Budget
from .pacer import Pacer as Pacer
