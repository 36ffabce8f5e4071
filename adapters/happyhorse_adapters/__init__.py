"""The providers that come with happyhorse-async. Each registers by entry point, as a third party would."""
