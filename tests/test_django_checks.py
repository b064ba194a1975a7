from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("django")

from django.core.checks import ERROR, run_checks
from django.test import override_settings
from django.views.debug import SafeExceptionReporterFilter

from dtmetrics.integrations.django.apps import _records
from tests.support.django_site import FIRST
from tests.support.script import expect, run

COMMON = "django.middleware.common.CommonMiddleware"


def found(**given: Any) -> list[tuple[str, str, str]]:
    """Return id, text and hint of what is said of these settings."""
    with override_settings(**given):
        messages = run_checks(tags=["dtmetrics"])
    for message in messages:
        assert (message.level >= ERROR) == (".E" in str(message.id))
    return [(m.id.removeprefix("dtmetrics."), m.msg, m.hint or "") for m in messages]


def of(**options: Any) -> list[tuple[str, str, str]]:
    """Return what is said of these options."""
    return found(DTMETRICS=options)


def test_nothing_to_say() -> None:
    """Settings that are right are not talked about, nor are none at all."""
    assert found() == []
    assert of() == []
    assert (
        of(
            endpoint="https://abc12345.live.dynatrace.com",
            token="dt0c01.secret",
            dimensions={"service": "shop"},
            request_dimensions="os.path.join",
            exclude=["/health"],
            semconv="both",
            active_requests=True,
            body_sizes=True,
            database=False,
            cache=False,
            commands=["runserver", "worker"],
        )
        == []
    )


def test_no_dict() -> None:
    """What is no dict is told."""
    assert found(DTMETRICS="a") == [("E001", "DTMETRICS is no dict", "")]


def test_unknown_settings() -> None:
    """A setting that there is none of is told, with the one that may be meant."""
    assert of(intervall=1, frobnicate=2) == [
        (
            "E002",
            "DTMETRICS has no setting 'intervall'",
            "Perhaps 'interval' is meant.",
        ),
        ("E002", "DTMETRICS has no setting 'frobnicate'", ""),
    ]
    assert of(ENDPOINT="x")[0][2] == "Perhaps 'endpoint' is meant."


def test_faults_of_configure() -> None:
    """Everything that ``configure()`` would raise is told, one by one."""
    texts = [text for _, text, _ in of(interval=0, level="LOUD")]
    assert len(texts) == 2
    assert texts[0].startswith(
        "DTMETRICS: interval must be between 0 and 86400 seconds"
    )
    assert texts[1].startswith(
        "DTMETRICS: level must be a logging level name or an int"
    )
    [(_, text, hint)] = of(dimensions=str)
    assert text == (
        "DTMETRICS: dimensions must be a mapping of keys to values, got the class str"
    )
    assert "'request_dimensions'" in hint


@pytest.mark.parametrize(
    "options",
    [
        {"semconv": "new"},
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
def test_faults_of_the_integration(options: dict[str, Any]) -> None:
    """So is what a middleware would raise, and what means nothing; by its name."""
    [(kind, text, _)] = of(**options)
    assert kind == "E004"
    assert next(iter(options)) in text


def test_the_token_is_not_shown() -> None:
    """No text of a check holds the token, and Django's page for errors hides it."""
    with override_settings(DTMETRICS={"token": "dt0c01.secret"}):
        shown = SafeExceptionReporterFilter().get_safe_settings()["DTMETRICS"]
    assert "secret" not in str(shown)
    token = "dt0c01.secret\N{EURO SIGN}"
    options = {"endpoint": "http://abc.example", "token": token, "tokn": token}
    said = of(**options)
    assert len(said) >= 2
    assert "secret" not in str(said)


def test_places() -> None:
    """A middleware that is missing, late or there twice is told."""
    assert [id_ for id_, _, _ in found(MIDDLEWARE=[COMMON])] == ["W001"]
    [(kind, text, _)] = found(MIDDLEWARE=[COMMON, FIRST])
    assert kind == "W002"
    assert text.startswith("the middleware comes after CommonMiddleware,")
    assert [id_ for id_, _, _ in found(MIDDLEWARE=[FIRST, FIRST])] == ["W003"]
    assert (
        found(MIDDLEWARE=["dtmetrics.integrations.django.middleware.MetricsMiddleware"])
        == []
    )
    assert [id_ for id_, _, _ in found(MIDDLEWARE=["no.such.thing"])] == ["W001"]


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
    """Servers record; of Django's commands those that are named."""
    options = {"commands": ["runserver", "worker"]}
    assert _records(argv, options) is records


@pytest.mark.parametrize("faulty", [None, 7, "migrate"])
def test_faulty_commands(faulty: Any) -> None:
    """Where the list of commands is faulty, it is as if there were none."""
    assert _records(["manage.py", "runserver"], {"commands": faulty})
    assert not _records(["manage.py", "migrate"], {"commands": faulty})


SITE = """
import sys
import django
from django.conf import settings

sys.argv = sys.argv[1:]
settings.configure(
    INSTALLED_APPS=["dtmetrics.integrations.django"],
    MIDDLEWARE=["dtmetrics.integrations.django.MetricsMiddleware"],
    SECRET_KEY="of the tests",
    **{"DTMETRICS": given for given in [%s] if given is not None},
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
    """A server's process is configured by the settings dict, and starts no thread."""
    assert expect(SITE % options + STATE, *program) == state


def test_faulty_settings_stop_nobody() -> None:
    """A process whose settings cannot work logs why, and goes on without metrics."""
    ended = run(SITE % "{'interval': 0, 'tokn': 's3cret'}" + STATE, "gunicorn")
    assert (ended.status, ended.out) == (0, "False 1\n")
    assert "DTMETRICS: interval must be between 0 and 86400 seconds" in ended.err
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
        "{'semconv': 'new'}",
        "{'request_dimensions': 'shop.none'}",
        "{'request_dimensions': 7}",
        "{'exclude': 7}",
        "7",
    ],
)
def test_faulty_settings_stop_no_request(options: str) -> None:
    """Nor does the middleware: requests are answered, and the log says why suppress_instrumentation."""
    ended = run(SITE % options + ANSWER, "gunicorn")
    assert (ended.status, ended.out) == (0, "404\n")
    assert "DTMETRICS" in ended.err


@pytest.mark.parametrize("strict", [True, False])
def test_a_key_that_is_something_else(*, strict: bool) -> None:
    """A conflict of definitions stops a site whose settings ask for that, and no other."""
    conflict = "import dtmetrics; dtmetrics.counter('http.server.request.duration')\n"
    ended = run(SITE % f"{{'strict': {strict}}}" + conflict + ANSWER, "gunicorn")
    assert (ended.status == 0) is not strict


def test_settings_and_configure() -> None:
    """Who calls ``configure()`` as well is told that the first one counts."""
    before = """
import dtmetrics
dtmetrics.configure(exporter=dtmetrics.MemoryExporter())
"""
    manage = "from django.core.management import execute_from_command_line as e\ne()"
    checked = run(before + SITE % "{}" + manage, "manage.py", "check")
    assert checked.status == 0
    assert "dtmetrics.W004" in checked.err
    served = run(before + SITE % "{}" + STATE, "gunicorn")
    assert (served.status, served.out) == (0, "True 1\n")
    assert "configure() was called before" in served.err
    alone = run(before + SITE % "None" + manage, "manage.py", "check")
    assert "dtmetrics.W004" not in alone.err + alone.out


def test_databases_that_django_complains_of() -> None:
    """Where Django would fail with the first query, it does not fail before."""
    lite = "DATABASES={'other': {'ENGINE': 'django.db.backends.sqlite3'}}, MIDDLEWARE"
    source = SITE.replace("MIDDLEWARE", lite) % "{}" + STATE
    assert expect(source, "gunicorn") == "True 1\n"


def test_manage_py_check() -> None:
    """The command explains, and fails."""
    source = (
        SITE + "from django.core.management import execute_from_command_line as e\ne()"
    )
    ended = run(source % "{'intervall': 1}", "manage.py", "check")
    assert ended.status == 1
    assert "dtmetrics.E002" in ended.err
    assert "Perhaps 'interval' is meant." in ended.err
