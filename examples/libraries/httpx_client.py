"""Requests by httpx: two are answered, and one is not found."""

import sys

import httpx

from dtmetrics import configure
from dtmetrics.integrations.httpx import instrument_httpx

configure()
instrument_httpx(body_sizes=True)

with httpx.Client(base_url=sys.argv[1]) as client:
    for path in ("/", "/?page=2", "/missing"):
        client.get(path)
