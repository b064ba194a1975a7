"""What every package may use: logging, safe calls, locks, secrets."""
