from __future__ import annotations

import pytest

from dtmetrics._config.hosts import (
    api_host,
    is_cluster_host,
    is_dynatrace_host,
    is_loopback,
)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("127.1", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    """This host is its name and its addresses, and nothing that looks like them."""
    assert is_loopback(host) == loopback


@pytest.mark.parametrize(
    "host",
    [
        "dynakube-activegate.dynatrace",
        "Prod-ActiveGate.observability",
        "dynakube-activegate.dynatrace.svc",
        "dynakube-activegate.dynatrace.svc.",
        "dynakube-activegate.dynatrace.svc.cluster.local",
        "activegate",
        "activegate.internal",
        "10.96.0.17",
        "172.20.0.1",
        "192.168.1.1",
        "100.64.0.9",
        "fd00:10:96::17",
        "::ffff:10.0.0.1",
    ],
)
def test_cluster_host(host: str) -> None:
    """A service, a name without a domain and a private address are inside a cluster."""
    assert is_cluster_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "abc12345.live.dynatrace.com",
        "activegate.example.com",
        "evil-activegate.com",
        "evil-activegate.io",
        "x-activegate.dynatrace.example",
        "example.dynatrace",
        "svc.example.com",
        "dynatrace.svc.example.com",
        "8.8.8.8",
        "::ffff:8.8.8.8",
        "2606:4700::1111",
        "224.0.0.1",
    ],
)
def test_public_host(host: str) -> None:
    """A name with a public domain and a public address are outside of a cluster."""
    assert not is_cluster_host(host)


@pytest.mark.parametrize(
    ("host", "api"),
    [
        ("abc12345.apps.dynatrace.com", "abc12345.live.dynatrace.com"),
        ("abc12345.apps.dynatrace.com.", "abc12345.live.dynatrace.com."),
        ("abc12345.sprint.apps.dynatracelabs.com", "abc12345.sprint.dynatracelabs.com"),
        ("abc12345.live.dynatrace.com", "abc12345.live.dynatrace.com"),
        ("x.apps.example.com", "x.apps.example.com"),
        ("x.apps.dynatrace.com.example", "x.apps.dynatrace.com.example"),
    ],
)
def test_api_host(host: str, api: str) -> None:
    """The host of a user interface has a host for its API; any other host is its own."""
    assert api_host(host) == api
    assert is_dynatrace_host(host) == is_dynatrace_host(api)
