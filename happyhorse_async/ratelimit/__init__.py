"""How much is asked of an account at once, and how fast: all that waits before it is sent waits here."""

from .account import AccountLimits as AccountLimits
from .limiter import RateLimiter as RateLimiter
