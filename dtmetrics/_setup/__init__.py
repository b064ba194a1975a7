"""Set-up: settings, and the one place where everything is put together."""
