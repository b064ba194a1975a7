"""The frameworks whose suites are run, and the differences that are expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["SUITES", "Suite"]


@dataclass(frozen=True)
class Suite:
    """The tests of one framework."""

    name: str
    version: str
    #: What its tests need, besides the framework itself.
    requirements: Sequence[str]
    #: What Python runs, in `folder` of the source.
    command: Sequence[str]
    folder: str = "."
    #: Of the framework, for its tests.
    extra: str = ""
    #: Tests whose outcome may differ, each with the reason.
    expected: Mapping[str, str] = field(default_factory=dict)


_PYTEST = (
    *("-m", "pytest", "-q", "--tb=line", "--continue-on-collection-errors"),
    *("-p", "suite_outcomes", "-p", "no:cacheprovider"),
)

#: The labels of Django's tests that make requests, middlewares or handlers.
_LABELS = [
    "asgi",
    "async",
    "builtin_server",
    "conditional_processing",
    "csrf_tests",
    "decorators",
    "file_uploads",
    "handlers",
    "httpwrappers",
    "i18n.patterns",
    "logging_tests",
    "middleware",
    "middleware_exceptions",
    "requests_tests",
    "responses",
    "servers",
    "sessions_tests",
    "shortcuts",
    "signals",
    "signed_cookies_tests",
    "test_client",
    "test_client_regress",
    "urlpatterns",
    "urlpatterns_reverse",
    "view_tests",
    "wsgi",
]

SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "starlette",
            "1.10.0",
            [
                "blockbuster",
                "httpx2[zstd]",
                "importlib-metadata",
                "opentelemetry-sdk",
                "pytest",
                "trio",
            ],
            [*_PYTEST, "tests"],
            extra="full",
        ),
        Suite(
            "fastapi",
            "0.165.0",
            [
                "a2wsgi",
                "anyio[trio]",
                "dirty-equals",
                "flask",
                "httpx2",
                "inline-snapshot",
                "logfire",
                "opentelemetry-exporter-otlp-proto-http",
                "opentelemetry-instrumentation-fastapi",
                "opentelemetry-sdk",
                "pwdlib[argon2]",
                "pyjwt",
                "pytest<9.2",
                "pytest-timeout",
                "pytest-xdist",  # a mark of it
                "python-slugify",
                "pyyaml",
                "sentry-sdk",
                "sqlmodel",
                "strawberry-graphql",
                "typer",
            ],
            [*_PYTEST, "tests", "--ignore=tests/benchmarks", "--timeout=60"],
            extra="all",
        ),
        Suite(
            "flask",
            "3.1.3",
            ["asgiref", "greenlet", "pytest<9", "python-dotenv"],
            [*_PYTEST, "tests"],
        ),
        Suite(
            "django",
            "5.2.19",
            ["docutils", "jinja2", "tblib", "tzdata"],
            ["-m", "suite_django", "--parallel=1", "-v", "0", *_LABELS],
            folder="tests",
        ),
    )
}
