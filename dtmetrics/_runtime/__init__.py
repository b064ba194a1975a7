"""The composition root: what this process records and where it sends it."""
