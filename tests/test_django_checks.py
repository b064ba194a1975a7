from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("django")

from django.core.checks import ERROR, run_checks
from django.test import override_settings
from django.views.debug import SafeExceptionReporterFilter

from dtmetrics.integrations.django.apps import _records
from tests.support.django_site import FIRST
from tests.support.endpoint import Endpoint
from tests.support.script import expect, run

COMMON = "django.middleware.common.CommonMiddleware"


def checked(**values: Any) -> list[tuple[str, str, str]]:
    """Return id, text and hint of each message about these settings."""
    with override_settings(**values):
        messages = run_checks(tags=["dtmetrics"])
    for message in messages:
        assert (message.level >= ERROR) == (".E" in str(message.id))
    return [(m.id.removeprefix("dtmetrics."), m.msg, m.hint or "") for m in messages]


def of(**options: Any) -> list[tuple[str, str, str]]:
    """Return each message about these options."""
    return checked(DTMETRICS=options)


def test_valid_settings() -> None:
    """Valid settings have no messages, and missing ones neither."""
    assert checked() == []
    assert of() == []
    assert (
        of(
            endpoint="https://abc12345.live.dynatrace.com",
            token="dt0c01.secret",
            dimensions={"service": "shop"},
            request_dimensions="os.path.join",
            exclude=["/health"],
            active_requests=True,
            body_sizes=True,
            database=False,
            cache=False,
            commands=["runserver", "worker"],
        )
        == []
    )


def test_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings without a token, as on a developer's computer, pass while all is off."""
    options = {"endpoint": "https://abc12345.live.dynatrace.com"}
    assert [identity for identity, _, _ in of(**options)] == ["E003"]
    monkeypatch.setenv("DTMETRICS_DISABLED", "true")
    assert of(**options) == []


def test_not_a_dict() -> None:
    """Settings that are not a dict have an error of their own."""
    text = "DTMETRICS must be a dict, got an object of str"
    assert checked(DTMETRICS="a") == [("E001", text, "")]


def test_unknown_settings() -> None:
    """An unknown setting is reported, with a hint where the intended one is guessable."""
    assert of(intervall=1, frobnicate=2) == [
        (
            "E002",
            "DTMETRICS has no setting 'intervall'",
            "Did you mean 'interval'?",
        ),
        ("E002", "DTMETRICS has no setting 'frobnicate'", ""),
    ]
    assert of(semconv="old") == [("E002", "DTMETRICS has no setting 'semconv'", "")]
    assert of(ENDPOINT="x")[0][2] == "Did you mean 'endpoint'?"


def test_problems_of_configure() -> None:
    """Each problem that ``configure()`` would raise is reported."""
    texts = [text for _, text, _ in of(interval=0, level="LOUD")]
    assert len(texts) == 2
    assert texts[0].startswith("DTMETRICS: interval ")
    assert texts[1].startswith("DTMETRICS: level ")
    [(_, text, hint)] = of(dimensions=str)
    assert text.startswith("DTMETRICS: dimensions ")
    assert "'request_dimensions'" in hint


@pytest.mark.parametrize(
    "options",
    [
        {"exclude": 7},
        {"request_dimensions": "shop.none.tenant"},
        {"request_dimensions": 7},
        {"database": "no"},
        {"cache": None},
        {"commands": "runserver"},
        {"commands": None},
        {"commands": 7},
        {"exclude": None},
        {"exclude": ["/health", 7]},
        {"known_methods": "GET"},
        {"known_methods": 7},
        {"meter": "shop"},
        {"active_requests": "no"},
        {"body_sizes": "no"},
    ],
)
def test_problems_of_the_integration(options: dict[str, Any]) -> None:
    """Each problem of the middleware's options is reported by the option's name."""
    [(kind, text, _)] = of(**options)
    assert kind == "E004"
    assert next(iter(options)) in text


def test_the_token_is_not_shown() -> None:
    """The checks never show the token, and Django's error page hides it."""
    with override_settings(DTMETRICS={"token": "dt0c01.secret"}):
        shown = SafeExceptionReporterFilter().get_safe_settings()["DTMETRICS"]
    assert "secret" not in str(shown)
    token = "dt0c01.secret\N{EURO SIGN}"
    options = {"endpoint": "http://abc.example", "token": token, "tokn": token}
    messages = of(**options)
    assert len(messages) >= 2
    assert "secret" not in str(messages)


def test_places() -> None:
    """A middleware that is missing, not first or listed twice has a warning."""
    assert [id_ for id_, _, _ in checked(MIDDLEWARE=[COMMON])] == ["W001"]
    [(kind, text, _)] = checked(MIDDLEWARE=[COMMON, FIRST])
    assert kind == "W002"
    assert text.startswith("the middleware comes after CommonMiddleware,")
    assert [id_ for id_, _, _ in checked(MIDDLEWARE=[FIRST, FIRST])] == ["W003"]
    assert (
        checked(
            MIDDLEWARE=["dtmetrics.integrations.django.middleware.MetricsMiddleware"]
        )
        == []
    )
    assert [id_ for id_, _, _ in checked(MIDDLEWARE=["no.such.thing"])] == ["W001"]


@pytest.mark.parametrize(
    ("argv", "records"),
    [
        (["/srv/shop/manage.py", "runserver"], True),
        (["manage.py", "migrate"], False),
        (["manage.py", "worker"], True),
        (["manage.py"], False),
        (["/usr/bin/django-admin", "test"], False),
        (["/lib/django/__main__.py", "migrate"], False),
        (["/usr/bin/gunicorn", "shop.wsgi"], True),
        ([], True),
    ],
)
def test_commands(argv: list[str], records: bool) -> None:
    """Servers record, and of Django's commands those in the setting."""
    options = {"commands": ["runserver", "worker"]}
    assert _records(argv, options) is records


@pytest.mark.parametrize("commands", [None, 7, "migrate"])
def test_invalid_commands(commands: Any) -> None:
    """An invalid list of commands is ignored: only runserver records."""
    assert _records(["manage.py", "runserver"], {"commands": commands})
    assert not _records(["manage.py", "migrate"], {"commands": commands})


SITE = """
import sys
import django
from django.conf import settings

sys.argv = sys.argv[1:]
settings.configure(
    INSTALLED_APPS=["dtmetrics.integrations.django"],
    MIDDLEWARE=["dtmetrics.integrations.django.MetricsMiddleware"],
    SECRET_KEY="for tests",
    **{"DTMETRICS": options for options in [%s] if options is not None},
)
"""
STATE = """
django.setup()
from dtmetrics._runtime.runtime import default
import threading
print(default.registry.recording, threading.active_count())
"""


@pytest.mark.parametrize(
    ("options", "program", "state"),
    [
        ("{}", ["gunicorn"], "True 1\n"),
        ("None", ["gunicorn"], "False 1\n"),
        ("{}", ["manage.py", "migrate"], "False 1\n"),
        ("{}", ["manage.py", "runserver"], "True 1\n"),
    ],
)
def test_ready(options: str, program: list[str], state: str) -> None:
    """A server's process is configured by DTMETRICS, and starts no thread."""
    assert expect(SITE % options + STATE, *program) == state


def test_invalid_settings_stop_no_process() -> None:
    """A process with invalid settings logs why, and goes on without metrics."""
    ended = run(SITE % "{'interval': 0, 'tokn': 's3cret'}" + STATE, "gunicorn")
    assert (ended.status, ended.out) == (0, "False 1\n")
    assert "DTMETRICS: interval " in ended.err
    assert "no setting 'tokn'" in ended.err
    assert "s3cret" not in ended.err


ANSWER = """
django.setup()
from django.test import Client
settings.ROOT_URLCONF = ()
settings.ALLOWED_HOSTS = ["*"]
print(Client().get("/").status_code)
"""


@pytest.mark.parametrize(
    "options",
    [
        "{'known_methods': 'GET'}",
        "{'request_dimensions': 'shop.none'}",
        "{'request_dimensions': 7}",
        "{'exclude': 7}",
        "7",
    ],
)
def test_invalid_settings_stop_no_request(options: str) -> None:
    """With invalid settings requests are answered without metrics, and the log has why."""
    ended = run(SITE % options + ANSWER, "gunicorn")
    assert (ended.status, ended.out) == (0, "404\n")
    assert "DTMETRICS" in ended.err


@pytest.mark.parametrize("strict", [True, False])
def test_conflicting_definitions(*, strict: bool) -> None:
    """A conflict of definitions stops a site under ``strict``, and no other."""
    conflict = "import dtmetrics; dtmetrics.counter('http.server.request.duration')\n"
    ended = run(SITE % f"{{'strict': {strict}}}" + conflict + ANSWER, "gunicorn")
    assert (ended.status == 0) is not strict


def test_conflict_under_strict() -> None:
    """A conflict of definitions is not a fault of the settings, and no check reports it."""
    before = """
import dtmetrics
dtmetrics.configure(exporter=dtmetrics.MemoryExporter(), strict=True)
dtmetrics.counter('http.server.request.duration')
"""
    manage = "from django.core.management import execute_from_command_line as e\ne()"
    ended = run(before + SITE % "{}" + manage, "manage.py", "check")
    assert ended.status == 0, ended.err
    assert "dtmetrics.W004" in ended.err
    assert "dtmetrics.E" not in ended.err


def test_settings_and_configure() -> None:
    """A call of ``configure()`` before Django starts has a warning: the first one counts."""
    before = """
import dtmetrics
dtmetrics.configure(exporter=dtmetrics.MemoryExporter())
"""
    manage = "from django.core.management import execute_from_command_line as e\ne()"
    ended = run(before + SITE % "{}" + manage, "manage.py", "check")
    assert ended.status == 0
    assert "dtmetrics.W004" in ended.err
    served = run(before + SITE % "{}" + STATE, "gunicorn")
    assert (served.status, served.out) == (0, "True 1\n")
    assert "configure() was called before" in served.err
    alone = run(before + SITE % "None" + manage, "manage.py", "check")
    assert "dtmetrics.W004" not in alone.err + alone.out


USES = """
{before}
django.setup()
from django.core.cache import cache
from django.db import connection
cache.get("a")
connection.cursor().execute("SELECT 1")
connection.close()
"""
BOTH = {"db.client.operation.duration", "django.cache.operation.duration"}


@pytest.mark.parametrize(
    "before",
    [
        "",
        "from django.core.cache import cache as c\nc.get(1)\nfrom django.db import connection as d\nd.cursor()",
    ],
    ids=["", "opened before"],
)
@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ("{}", BOTH),
        ("{'cache': False}", {"db.client.operation.duration"}),
        ("{'database': False}", {"django.cache.operation.duration"}),
    ],
)
def test_what_is_instrumented(options: str, keys: set[str], before: str) -> None:
    """Databases and caches are recorded, opened before or later, unless switched off."""
    lite = (
        "DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', "
        "'NAME': ':memory:'}}, MIDDLEWARE"
    )
    source = SITE.replace("MIDDLEWARE", lite) % options + USES.format(before=before)
    with Endpoint() as endpoint:
        expect(source, "gunicorn", DTMETRICS_ENDPOINT=endpoint.url)
    sent = {line.partition(",")[0] for line in endpoint.lines}
    assert sent & BOTH == keys


def test_no_default_database() -> None:
    """A site without a default database, which it may never query, starts."""
    lite = "DATABASES={'other': {'ENGINE': 'django.db.backends.sqlite3'}}, MIDDLEWARE"
    source = SITE.replace("MIDDLEWARE", lite) % "{}" + STATE
    assert expect(source, "gunicorn") == "True 1\n"


def test_manage_py_check() -> None:
    """``manage.py check`` fails with invalid settings, and prints why."""
    source = (
        SITE + "from django.core.management import execute_from_command_line as e\ne()"
    )
    ended = run(source % "{'intervall': 1}", "manage.py", "check")
    assert ended.status == 1
    assert "dtmetrics.E002" in ended.err
    assert "Did you mean 'interval'?" in ended.err
