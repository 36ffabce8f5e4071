"""Local pictures and videos: what they are, whether a provider takes them, and how they travel."""
