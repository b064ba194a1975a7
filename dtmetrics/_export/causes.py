"""Why a batch was not delivered: one fixed sentence for each cause, with a remedy.

The log, ``stats().last_error`` and ``dtmetrics doctor`` use these texts. None of them
holds a secret or a text that a server sent. Braces are filled in by `explain()`, with
values that come from the settings or from this module.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = [
    "CAUSES",
    "CLOCK_TOLERANCE",
    "Cause",
    "Destination",
    "explain",
    "explain_clock",
    "recognize",
]


# A token that was pasted into a URL.
_TOKEN = re.compile(r"dt0[a-z][0-9]{2}\.[^/]*", re.IGNORECASE)


class Cause(NamedTuple):
    """A cause, what it means, and what helps."""

    id: str
    sentence: str
    remedy: str

    def text(self, **details: object) -> str:
        """Return the sentence and the remedy, with *details* for their braces."""
        return f"{self.sentence}; {self.remedy}".format_map(details)


class Destination(NamedTuple):
    """Where requests go: the host with its port, and the path."""

    host: str
    path: str


def explain(symptom: str, to: Destination, cause: Cause | None, scope: str = "") -> str:
    """Return the reason of a failed attempt: what was seen, where, and why.

    >>> explain("status 401", Destination("ag:9999", "/"), TOKEN)[:58]
    'status 401 at ag:9999: the token is missing, unknown or ex'
    """
    seen = f"{symptom} at {to.host}"
    if cause is None:
        return seen
    path = _TOKEN.sub("***", to.path)
    return f"{seen}: {cause.text(path=path, scope=scope)}"


def recognize(reason: str) -> Cause | None:
    """Return the cause that `explain()` has put into *reason*, if it is one."""
    for cause in CAUSES:
        fixed = cause.sentence.partition("{")[0]
        if reason.endswith(f"; {cause.remedy}") and fixed in reason:
            return cause
    return None


# -- the way to the endpoint ---------------------------------------------------------

NAME_NOT_FOUND: Final = Cause(
    "name-not-found",
    "name not found",
    "check the host in endpoint, and the name servers of this host",
)
NO_ONEAGENT: Final = Cause(
    "no-oneagent", "no OneAgent listens here", "for development run `dtmetrics dev`"
)
REFUSED: Final = Cause(
    "connection-refused",
    "connection refused, nothing listens on this port",
    "check the host and the port in endpoint",
)
UNREACHABLE: Final = Cause(
    "unreachable",
    "the network has no way to this host",
    "check the host in endpoint, the routes and the firewall",
)
CONNECT_TIMEOUT: Final = Cause(
    "timeout-connecting",
    "timed out while connecting",
    "check the host and the port in endpoint, the name servers and the firewalls",
)
SEND_TIMEOUT: Final = Cause(
    "timeout-sending",
    "timed out while sending",
    "it is retried; check the network, and the load of the endpoint",
)
ANSWER_TIMEOUT: Final = Cause(
    "timeout-waiting",
    "timed out while waiting for the answer",
    "it is retried; check the load of the endpoint and of the proxies in between",
)
CONNECTION_LOST: Final = Cause(
    "connection-lost",
    "the connection ended without a complete answer",
    "it is retried; check the endpoint, and whether its port expects https://",
)

# -- TLS -----------------------------------------------------------------------------

TLS_UNKNOWN_AUTHORITY: Final = Cause(
    "tls-unknown-authority",
    "the certificate is from an unknown authority",
    "set ca_file (DTMETRICS_CA_FILE) to the certificate of that authority",
)
TLS_WRONG_NAME: Final = Cause(
    "tls-wrong-name",
    "the certificate is for another name",
    "name the host in endpoint as the certificate does",
)
TLS_EXPIRED: Final = Cause(
    "tls-expired",
    "the certificate has expired",
    "renew it at the endpoint, or correct the clock of this host",
)
TLS_NOT_YET_VALID: Final = Cause(
    "tls-not-yet-valid",
    "the certificate is not valid yet",
    "correct the clock of this host, or of the host that made the certificate",
)
TLS_INVALID_CERTIFICATE: Final = Cause(
    "tls-invalid-certificate",
    "the certificate is not valid for a server",
    "replace it at the endpoint",
)
TLS_NOT_SPOKEN: Final = Cause(
    "tls-not-spoken",
    "wrong protocol, this port does not speak TLS",
    "check the port in endpoint, or begin it with http:// where that is allowed",
)
TLS_EXPECTED: Final = Cause(
    "tls-expected",
    "wrong protocol, this port speaks TLS",
    "begin endpoint with https://",
)
TLS_VERSION: Final = Cause(
    "tls-version",
    "wrong protocol, the server lacks TLS 1.2 and 1.3",
    "enable TLS 1.2 or 1.3 at the endpoint",
)
TLS_CLIENT_CERTIFICATE: Final = Cause(
    "tls-client-certificate",
    "a client certificate is required",
    "set client_cert and client_key",
)
TLS_CLIENT_CERTIFICATE_REFUSED: Final = Cause(
    "tls-client-certificate-refused",
    "the client certificate was refused",
    "set client_cert and client_key to a pair that the endpoint trusts",
)
TLS_HANDSHAKE: Final = Cause(
    "tls-handshake",
    "the server ended the TLS handshake",
    "it requires a client certificate (client_cert), or shares no cipher",
)

# -- proxies -------------------------------------------------------------------------

PROXY_AUTHENTICATION: Final = Cause(
    "proxy-authentication",
    "the proxy requires valid credentials",
    "set them in proxy (DTMETRICS_PROXY)",
)
PROXY_REFUSED: Final = Cause(
    "proxy-refused",
    "the proxy refused to connect to the endpoint",
    "allow the host of endpoint at the proxy, or exempt it with NO_PROXY",
)
PROXY_CANNOT_CONNECT: Final = Cause(
    "proxy-cannot-connect",
    "the proxy could not connect to the endpoint",
    "it is retried; check the host in endpoint, and the proxy",
)
PROXY_UNREACHABLE: Final = Cause(
    "proxy-unreachable",
    "the proxy cannot be reached",
    "check proxy (DTMETRICS_PROXY, HTTPS_PROXY), or exempt the host with NO_PROXY",
)
PROXY_SILENT: Final = Cause(
    "proxy-silent",
    "the proxy gives no answer",
    "check proxy (DTMETRICS_PROXY, HTTPS_PROXY), or exempt the host with NO_PROXY",
)

# -- answers -------------------------------------------------------------------------

NOT_DYNATRACE: Final = Cause(
    "not-dynatrace",
    "the answer is a page that is not Dynatrace's",
    "check endpoint: a proxy, a login page or another server answers",
)
REDIRECT: Final = Cause(
    "redirect",
    "the answer redirects, which is not followed",
    "set endpoint to the final address of the API, such as "
    "https://ENVIRONMENT.live.dynatrace.com",
)
PORTAL: Final = Cause(
    "portal", "the network requires a login", "log in to the network of this host"
)
MALFORMED: Final = Cause(
    "malformed",
    "the endpoint could not read the request",
    "its lines are sent in smaller batches",
)
TOKEN: Final = Cause(
    "token",
    "the token is missing, unknown or expired",
    "set token (DTMETRICS_TOKEN) to a token with the scope metrics.ingest",
)
SCOPE: Final = Cause(
    "scope",
    "the token lacks the scope {scope}",
    "set token (DTMETRICS_TOKEN) to a token that has it",
)
FORBIDDEN: Final = Cause(
    "forbidden",
    "access is denied",
    "check the scope metrics.ingest of the token, and what the networks and proxies "
    "in between allow",
)
PATH: Final = Cause(
    "path",
    "no metrics API is served at the path {path}",
    "check endpoint: the path is /metrics/ingest at a OneAgent, or else ends in "
    "/api/v2/metrics/ingest; at an ActiveGate the module must be enabled",
)
MEDIA_TYPE: Final = Cause(
    "media-type",
    "text lines are not accepted at the path {path}",
    "check endpoint: it must be the metrics API, not that of OTLP",
)
TOO_LARGE: Final = Cause(
    "too-large",
    "the request is too large",
    "it is sent in halves; a proxy in between may need a higher limit",
)
THROTTLED: Final = Cause(
    "throttled",
    "the endpoint throttles",
    "it is retried; send fewer series, or less often",
)
UNAVAILABLE: Final = Cause(
    "unavailable", "the endpoint is unavailable for now", "it is retried"
)
SERVER_ERROR: Final = Cause(
    "server-error",
    "the endpoint, or a proxy before it, has failed",
    "it is retried; check their logs",
)
REFUSED_REQUEST: Final = Cause(
    "refused-request",
    "a server in front of the metrics API refused the request",
    "check endpoint, and the rules of the proxies in between",
)

# -- the clock -----------------------------------------------------------------------

CLOCK: Final = Cause(
    "clock",
    "the clock of this host is {difference} that of the endpoint",
    "synchronize it: points from more than an hour ago, or more than 10 minutes ahead, "
    "are rejected",
)

CAUSES: Final = tuple(each for each in globals().values() if isinstance(each, Cause))

#: By how many seconds two clocks must differ to be named. A point may be 10 minutes
#: ahead.
CLOCK_TOLERANCE: Final = 300.0


def explain_clock(ahead: float) -> str:
    """Return what is wrong with a clock that is *ahead* seconds ahead, or nothing.

    >>> explain_clock(-7_199.5).partition(";")[0]
    'the clock of this host is 2 h 0 min behind that of the endpoint'
    >>> explain_clock(3.0)
    ''
    """
    if abs(ahead) <= CLOCK_TOLERANCE:
        return ""
    hours, minutes = divmod(round(abs(ahead) / 60), 60)
    amount = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return CLOCK.text(difference=f"{amount} {'ahead of' if ahead > 0 else 'behind'}")
