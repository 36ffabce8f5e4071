"""Local pictures and videos: detection, measurement, and checks against a provider's limits."""
