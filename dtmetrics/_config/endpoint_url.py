"""The endpoint: the URL to post to, from the forms in which users write it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from dtmetrics._config.hosts import api_host, is_dynatrace_host, is_loopback
from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret

__all__ = ["INGEST_PATH", "LOCAL_ENDPOINT", "endpoint_url"]

#: The OneAgent of this host, which needs no token.
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api
LOCAL_ENDPOINT = "http://localhost:14499/metrics/ingest"
INGEST_PATH = "/api/v2/metrics/ingest"
_LOCAL_PATH = "/metrics/ingest"

_LONGEST_URL = 2_000
_URL = "be an http:// or https:// URL"
# The underscore is not allowed in a host name, and common all the same: docker compose
# makes such names.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ENDPOINT = re.compile(
    rf"(?P<scheme>https?)://(?P<host>(?:{_LABEL}\.)*{_LABEL}\.?|\[[0-9a-f]*:[0-9a-f:.]*\])"
    r"(?::(?P<port>[0-9]{0,5}))?(?P<path>/[!-~]*)?",
    re.ASCII | re.IGNORECASE,
)

# What encloses a URL that is copied from a document or a file of settings.
_ENCLOSING = "\"'`<>(),; \u201c\u201d\u2018\u2019"
_DOUBLED = re.compile(r"https?://+https?(:|//)", re.IGNORECASE)
# The last scheme in the text, with any number of colons and slashes.
_BROKEN_SCHEME = re.compile(
    r"(?:.*\b)?(?P<scheme>https?)(?::[/\\]*|[/\\]{2,})(?P<rest>[^/\\].*)",
    re.IGNORECASE | re.DOTALL,
)
_PLACEHOLDER = re.compile("[{}<>$]")
# How environments of Dynatrace SaaS are named.
_ENVIRONMENT_ID = re.compile("[a-z]{3}[0-9]{5}", re.IGNORECASE)

# The part of a path that names an environment, with what a gateway has before it.
_PATH = re.compile(r"(?P<base>(?:.*?/e/[^/]+)?)(?P<rest>(?:/.*)?)")
# The API by the address of the user interface. It takes no access token.
_PLATFORM_API = "/platform/classic/environment-api"
_OTHER_ADDRESSES = {
    "the OTLP API": re.compile(r".*/otlp(/.*)?|.*/v1/(metrics|traces|logs)"),
    "the API v1": re.compile(r".*/api/(config/|cluster/)?v1(/.*)?"),
    "another API": re.compile(
        ".*/api/v2/(metrics/query|logs|events|bizevents|entities|problems|settings)(/.*)?"
    ),
    "the user interface": re.compile(r"/ui(/.*)?"),
}


def endpoint_url(secret: Secret) -> str:
    """Return the URL in *secret*, with the ingest path where it has no path.

    It arrives as a secret because a wrong one may hold a token in its query. Raises
    InvalidSettingError, with the URL that was meant where that is clear.
    """
    value = secret.reveal()
    if not isinstance(value, str):
        raise InvalidSettingError(_URL, value)
    text = value.strip()
    try:
        return _parsed(text)
    except InvalidSettingError as error:
        error.hint = error.hint or _meant(text)
        raise


def _parsed(text: str) -> str:
    """Return the endpoint that *text* is the URL of."""
    if any(mark in text for mark in "@?#"):
        requirement = f"{_URL} without credentials, query and fragment"
        raise InvalidSettingError(requirement, got="one that has them")
    if _PLACEHOLDER.search(text.strip(_ENCLOSING)):
        raise InvalidSettingError("have its placeholders filled in", text)
    has_scheme = text.lower().startswith(("http://", "https://"))
    if not has_scheme or _DOUBLED.match(text):
        raise InvalidSettingError(_URL, text)
    match = _ENDPOINT.fullmatch(text) if len(text) <= _LONGEST_URL else None
    if (
        match is None
        or not _is_host(match["host"])
        or not 0 < int(match["port"] or 1) < 65_536
    ):
        requirement = (
            f"{_URL} with a valid host and port, and at most {_LONGEST_URL} printable "
            "ASCII characters"
        )
        raise InvalidSettingError(requirement, text)
    scheme, host = match["scheme"].lower(), api_host(match["host"].lower())
    port = f":{match['port']}" if match["port"] else ""
    path = re.sub("/+", "/", match["path"] or "").rstrip("/")
    return _completed(text, f"{scheme}://{host}{port}", path)


def _meant(text: str) -> str:
    """Return the endpoint that *text* was meant to be; empty if that is unclear.

    >>> _meant("localhost:14499"), _meant("https://https://abc12345.live.dynatrace.com")
    ('http://localhost:14499', 'https://abc12345.live.dynatrace.com')
    """
    bare = text.strip(_ENCLOSING)
    if _ENVIRONMENT_ID.fullmatch(bare):
        return f"https://{bare.lower()}.live.dynatrace.com"
    if "@" in text:  # any part of credentials may be secret
        return ""
    broken = _BROKEN_SCHEME.fullmatch(bare)
    # What follows a scheme is certainly a URL, of which the query can be left out.
    rest = re.split("[?#]", broken["rest"])[0] if broken else bare.lstrip("/")
    try:
        host = urlsplit(f"//{rest}").hostname or ""
        scheme = "http" if is_loopback(host) else "https"
        url = f"{broken['scheme'].lower() if broken else scheme}://{rest}"
        endpoint = _parsed(url)
    except ValueError:
        return ""
    except InvalidSettingError as error:
        return error.hint
    if not (broken or is_loopback(host) or "." in host):
        return ""  # any word would pass for a host
    url = url.rstrip("/")
    return url if endpoint.startswith(url) else endpoint


def _is_host(host: str) -> bool:
    """Return whether *host*, which ``_ENDPOINT`` matched, is a valid host."""
    if ":" in host or host.replace(".", "").isdecimal():
        return call_safely(ip_address, host.strip("[]"), default=None) is not None
    return len(host) <= 253


def _completed(text: str, origin: str, path: str) -> str:
    """Return *origin* and *path*, completed to the ingest path.

    The URL of an environment is what its users have at hand
    (https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics).
    Raises InvalidSettingError if the path is that of another address of Dynatrace.
    """
    parts = urlsplit(origin)
    host = parts.hostname or ""
    is_environment = is_dynatrace_host(host)
    if is_environment and path.startswith(_PLATFORM_API):
        path = "/api" + path.removeprefix(_PLATFORM_API)
    match = _PATH.fullmatch(path)
    base, rest = (match["base"], match["rest"]) if match else ("", path)
    may_be_oneagent = parts.scheme == "http" and is_loopback(host) and not base
    ingest_path = _LOCAL_PATH if may_be_oneagent else INGEST_PATH
    if not rest:
        return origin + base + ingest_path
    beginnings = "/api", "/api/v2", "/api/v2/metrics", "/api/v2/metrics/ingest"
    for beginning in beginnings:
        gateway = rest.removesuffix(beginning)
        if gateway != rest and not (is_environment and gateway):
            return origin + base + gateway + INGEST_PATH
    if rest == "/e":
        requirement = "name an environment after /e/"
        raise InvalidSettingError(requirement, text)
    other = _other_address(rest, is_environment=is_environment)
    if other:
        gateway = rest.partition("/api")[0] if "/api/" in rest else ""
        path = base + gateway + (INGEST_PATH if gateway else ingest_path)
        raise InvalidSettingError(
            f"name the metrics API v2, not {other}", text, hint=origin + path
        )
    return origin + path


def _other_address(rest: str, *, is_environment: bool) -> str:
    """Return what *rest*, a path, is the address of; empty if it may be the API's."""
    if rest == _LOCAL_PATH or (rest.endswith(_LOCAL_PATH) and not is_environment):
        return ""
    for what, pattern in _OTHER_ADDRESSES.items():
        if pattern.fullmatch(rest):
            return what
    # A gateway may have any other path.
    return "another address of Dynatrace" if is_environment else ""
