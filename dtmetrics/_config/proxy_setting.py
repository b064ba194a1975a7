"""The proxy of an endpoint: the setting's, or that of the environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret

__all__ = ["bypasses_proxy", "environment_proxy", "proxy"]

_URL = "be the http:// or https:// URL of a proxy, or False"
_OFF = "false", "0"
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_.])?|[0-9a-f]*:[0-9a-f:.]*")
_PORTS = {"http": 80, "https": 443}


def proxy(secret: Secret) -> Secret | bool:
    """Return the URL of a proxy, as a secret because it may hold credentials; or False.

    Without a scheme it is an http proxy, as for curl.
    """
    value = secret.reveal()
    if value is False or (isinstance(value, str) and value.strip().lower() in _OFF):
        return False
    if not isinstance(value, str):
        raise InvalidSettingError(_URL, secret)
    url = Secret(value.strip() if "://" in value else f"http://{value.strip()}")
    parts: SplitResult | None = call_safely(urlsplit, url.reveal(), default=None)
    if parts is None or parts.scheme.lower() not in _PORTS:
        raise InvalidSettingError(_URL, got="another one")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        requirement = f"{_URL}, without a path, and with percent-encoded credentials"
        raise InvalidSettingError(requirement, got="one with more")
    port = call_safely(getattr, parts, "port", default=0)
    if port == 0 or not _has_host(parts) or not re.fullmatch("[!-~]+", url.reveal()):
        requirement = f"{_URL}, with a valid host and port"
        raise InvalidSettingError(requirement, got="another one")
    return url


def _has_host(parts: SplitResult) -> bool:
    host = (parts.hostname or "").lower()
    # Python 3.10 takes any text in brackets.
    in_brackets = "[" in parts.netloc
    return _HOST.fullmatch(host) is not None and in_brackets == (":" in host)


def environment_proxy(
    proxies: Mapping[str, tuple[str, Secret]], endpoint: str
) -> Secret | None:
    """Return the URL of the proxy that the environment names for *endpoint*, if any.

    *proxies* has the variable and value of ``http``, ``https``, ``all`` and ``no``. One
    that cannot be used is logged, and raises no ConfigError, because it is meant for
    other programs too.
    """
    parts = urlsplit(endpoint)
    source, url = proxies.get(parts.scheme) or proxies.get("all") or ("", None)
    _, exceptions = proxies.get("no") or ("", Secret(""))
    port = parts.port or _PORTS[parts.scheme]
    if url is None or bypasses_proxy(
        parts.hostname or "", port, exceptions.reveal().replace(",", " ").split()
    ):
        return None
    try:
        found = proxy(url)
    except InvalidSettingError as error:
        log.warning("%s, and is not used", error.sentence(source))
        return None
    return found if isinstance(found, Secret) else None


def bypasses_proxy(host: str, port: int, exceptions: Iterable[str]) -> bool:
    """Return whether one of the *exceptions* of ``NO_PROXY`` holds for *host*.

    One is ``*``, a domain with or without a dot or ``*.`` before it, which holds for
    its subdomains too, an address, or a network such as ``10.0.0.0/8``. A port may
    follow.

    >>> bypasses_proxy("ag.corp.example", 443, [".corp.example"])
    True
    >>> bypasses_proxy("ag.example", 443, ["ag.example:9999"])
    False
    """
    return any(_matches(host.lower().rstrip("."), port, each) for each in exceptions)


def _matches(host: str, port: int, exception: str) -> bool:
    exception = exception.lower()
    if exception == "*":
        return True
    address = call_safely(ip_address, host, default=None)
    network = call_safely(ip_network, exception.strip("[]"), False, default=None)  # noqa: FBT003
    if address is not None and network is not None:
        return address in network
    name, colon, only_port = exception.rpartition(":")
    if colon and only_port.isdecimal():
        if only_port != str(port):
            return False
        exception = name
    if address is not None:
        return address == call_safely(ip_address, exception.strip("[]"), default=None)
    domain = exception.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))
