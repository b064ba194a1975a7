"""What every other room may use: logging, safe calls, locks and secrets."""
