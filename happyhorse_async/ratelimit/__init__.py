"""Rate limits and concurrency limits of an account: every request waits here until it may be sent."""

from .account import AccountLimits as AccountLimits
from .concurrency import ConcurrencyLimiter as ConcurrencyLimiter
from .concurrency import Permit as Permit
from .limiter import RateLimiter as RateLimiter
