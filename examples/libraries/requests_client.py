"""Requests by requests: two are answered, and one is not found."""

import sys

import requests

from dtmetrics import configure
from dtmetrics.integrations.requests import instrument_requests

configure()
instrument_requests(body_sizes=True)

with requests.Session() as session:
    for path in ("/", "/?page=2", "/missing"):
        session.get(sys.argv[1] + path, timeout=5)
