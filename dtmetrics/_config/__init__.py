"""Settings from arguments, environment and platform files, checked together."""
