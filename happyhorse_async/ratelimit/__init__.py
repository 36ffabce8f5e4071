"""Rate limits and concurrency limits of an account: every request waits here until it may be sent."""

from .account import AccountLimits as AccountLimits
from .limiter import RateLimiter as RateLimiter
