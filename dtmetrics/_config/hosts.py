"""Hosts: which are this one, which are private, and which are Dynatrace's."""

from __future__ import annotations

import re
from ipaddress import ip_address

from dtmetrics._core.safe_call import call_safely

__all__ = ["api_host", "is_cluster_host", "is_dynatrace_host", "is_loopback"]

_DYNATRACE_DOMAINS = ".dynatrace.com", ".dynatracelabs.com"

# Domains that no public name server resolves: that of Kubernetes services, those of RFC
# 6762 and of ICANN for private use.
_PRIVATE_DOMAINS = "svc", "local", "internal"
# The operator names a service by NAME.NAMESPACE, which is a public host if the
# namespace is a top-level domain. All of two letters are; of the others, the common.
# https://github.com/Dynatrace/dynatrace-operator
_TOP_LEVEL_DOMAIN = re.compile(
    "[a-z]{2}|com|net|org|info|biz|edu|gov|mil|int|name|pro|dev|app|cloud|online|site"
    "|tech|xyz|top|shop|store|live|world|systems|services|network|solutions|agency"
    "|company|digital|global|group|host|page|space|website|zone"
)


def is_loopback(host: str) -> bool:
    """Return whether *host* is this host, by name or by address."""
    address = call_safely(ip_address, host, default=None)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_cluster_host(host: str) -> bool:
    """Return whether *host* is inside a cluster or a private network.

    >>> is_cluster_host("dynakube-activegate.dynatrace"), is_cluster_host("10.1.2.3")
    (True, True)
    >>> is_cluster_host("activegate.example.com")
    False
    """
    address = call_safely(ip_address, host, default=None)
    if address is not None:
        address = getattr(address, "ipv4_mapped", None) or address
        return not (address.is_global or address.is_multicast)
    labels = host.lower().removesuffix(".").split(".")
    if len(labels) == 1 or labels[-1] in _PRIVATE_DOMAINS:
        return True
    return (
        len(labels) == 2
        and labels[0].endswith("-activegate")
        and _TOP_LEVEL_DOMAIN.fullmatch(labels[1]) is None
    )


def is_dynatrace_host(host: str) -> bool:
    """Return whether *host* is an environment of Dynatrace SaaS."""
    return host.removesuffix(".").endswith(_DYNATRACE_DOMAINS)


def api_host(host: str) -> str:
    """Return the host of the API for *host*, which may be that of the user interface.

    >>> api_host("abc12345.apps.dynatrace.com")
    'abc12345.live.dynatrace.com'
    >>> api_host("abc12345.sprint.apps.dynatracelabs.com")
    'abc12345.sprint.dynatracelabs.com'
    """
    if not is_dynatrace_host(host):
        return host
    host = host.replace(".apps.dynatrace.com", ".live.dynatrace.com")
    return host.replace(".apps.dynatracelabs.com", ".dynatracelabs.com")
