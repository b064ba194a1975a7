"""Settings, checked together, and what the platform says of itself."""
