"""The form of the token. Only a request shows whether it is valid."""

from __future__ import annotations

import re

from dtmetrics._config.config import Config
from dtmetrics._config.token_setting import public_part
from dtmetrics._doctor.finding import Finding, Status, ok, skipped, warning
from dtmetrics._export.token import TokenUnavailableError
from dtmetrics._runtime.factories import current_token

__all__ = ["token_finding"]

# https://docs.dynatrace.com/docs/discover-dynatrace/references/dynatrace-api/basics/dynatrace-api-authentication
_ACCESS_TOKEN = re.compile(r"dt0c01\.[A-Z0-9]{24}\.[A-Z0-9]{64}")
_PLATFORM_TOKEN = re.compile(r"dt0s[0-9]{2}\.")


def token_finding(config: Config) -> Finding:
    """Return whether the token has the form of an access token."""
    try:
        token = current_token(config)
    except TokenUnavailableError as error:
        return Finding("token", Status.PROBLEM, str(error), "correct its source")
    if not token:
        return skipped("token", "there is none: a OneAgent needs none")
    if _ACCESS_TOKEN.fullmatch(token.reveal()):
        public = public_part(token)
        return ok("token", f"{public} has the form of an access token")
    if _PLATFORM_TOKEN.match(token.reveal()):
        return warning(
            "token",
            "it is a platform token, which the metrics API is not documented to take",
            "create an access token with the scope metrics.ingest",
        )
    length = len(token.reveal())
    return warning(
        "token",
        f"its {length} characters do not have the form dt0c01.ID.SECRET of 96",
        "check that the whole access token is set",
    )
