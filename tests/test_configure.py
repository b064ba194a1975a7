from __future__ import annotations

import inspect
import re
import traceback
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest

import dtmetrics
from dtmetrics import MemoryExporter, configure
from dtmetrics._config import environment, settings
from dtmetrics._config.config import Config
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.secret import SECRET_SETTINGS
from dtmetrics._runtime.runtime import default
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import DynatraceExporter

PARAMETERS = inspect.signature(configure).parameters

#: How the docstring words the default of a setting whose signature has None.
NONE = ("none", "the URL in", "the system's", "an exporter that posts")


#: Settings whose example names a file that must exist.
FILES = "ca_file", "token_file"


def documentation() -> dict[str, str]:
    """Return the text about each setting in the docstring."""
    text = inspect.getdoc(configure) or ""
    entry = r"^    (\w+) \((.+?)\): ((?:.+\n(?:        .*\n)*))"
    found = re.findall(entry, text, re.MULTILINE)
    return {name: f"({types}) " + " ".join(rest.split()) for name, types, rest in found}


def started(**arguments: Any) -> Config:
    """Call configure() and return the settings that it has started with."""
    seen: list[Config] = []
    resolve = Config.resolve

    def watch(*args: Any, **kwargs: Any) -> Config:
        seen.append(resolve(*args, **kwargs))
        return seen[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "resolve", watch)
        configure(exporter=MemoryExporter(), **arguments)
    dtmetrics.shutdown()
    return seen[0]


def test_every_setting_is_an_argument() -> None:
    """The arguments of configure() are the settings, all by keyword, and ``force``."""
    assert PARAMETERS.keys() == SETTINGS.keys() | {"force"}
    assert all(each.kind is each.KEYWORD_ONLY for each in PARAMETERS.values())


def test_defaults_in_the_signature() -> None:
    """The signature shows the default of each setting, as it takes effect."""
    resolved = Config()
    for field in fields(Config):
        if field.name not in PARAMETERS:
            continue
        shown = PARAMETERS[field.name].default
        effective: Any = getattr(resolved, field.name)
        if shown is None:  # no value, for a setting that has a longer default
            assert effective in (None, {}, ()) or field.name in ("endpoint", "token")
        else:
            assert SETTINGS[field.name](shown) == effective, field.name


def test_choices_are_literals() -> None:
    """The type of a setting with a few values lists them, and each is valid."""
    hints = get_type_hints(configure, localns={"Exporter": object})
    assert get_args(hints["delivery"]) == settings._DELIVERIES
    for hint in (hints["level"], get_args(get_args(hints["levels"])[0])[1]):
        names = [n for union in get_args(hint) for n in get_args(union)]
        assert "DEBUG" in names
        for name in names:
            assert isinstance(SETTINGS["level"](name), int)


@pytest.mark.parametrize("name", PARAMETERS)
def test_documented(name: str) -> None:
    """The docstring gives the type, default, variable and an example of each setting."""
    text = documentation()[name]
    parameter = PARAMETERS[name]
    types = text.partition(")")[0].lstrip("(")
    annotation = re.sub(r"Literal\[['\"][^]]*\]", "str", parameter.annotation)
    assert types in (annotation, annotation.replace("[str]", ""))
    shown = re.search(r"Default: (.*?)(\. |$)", text)
    assert shown, text
    if parameter.default is None:
        assert shown[1].startswith(NONE)
    else:
        expected = repr(parameter.default).replace("'", '"')
        assert shown[1].strip("`").startswith(expected)
    assert re.search(rf"Example: ``{name}=[^`]+``\.$", text), text
    variables = {v for v, n in environment._VARIABLES.items() if n == name}
    assert {*re.findall(r"\bDT_?METRICS_[A-Z_]+", text)} == variables


def test_examples_are_valid() -> None:
    """Each example of the docstring is a valid setting."""
    names = {
        "ConsoleExporter": dtmetrics.ConsoleExporter,
        "DynatraceExporter": DynatraceExporter,
    }
    for name, text in documentation().items():
        example = re.findall(rf"Example: ``{name}=([^`]+)``", text)[0]
        if name not in ("force", *SECRET_SETTINGS, *FILES):
            SETTINGS[name](eval(example, names))


def test_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over the environment, also if it equals the default."""
    monkeypatch.setenv("DTMETRICS_INTERVAL", "10")
    monkeypatch.setenv("DTMETRICS_DELIVERY", "at_most_once")
    monkeypatch.setenv("DTMETRICS_LEVEL", "DEBUG")
    config = started()
    assert (config.interval, config.delivery, config.level) == (10, "at_most_once", 10)
    config = started(interval=60.0, delivery="at_least_once", level="INFO")
    assert (config.interval, config.delivery, config.level) == (60, "at_least_once", 20)
    config = started(interval=None, delivery=None, level=None)
    assert (config.interval, config.delivery, config.level) == (
        None,
        "at_most_once",
        10,
    )


def test_unknown_argument() -> None:
    """An argument that is not a setting raises a TypeError, whatever its value."""
    for value in (1, None):
        with pytest.raises(TypeError, match="unexpected keyword argument 'intervall'"):
            configure(intervall=value)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        configure("https://abc.example")  # type: ignore[misc]
    assert not default.registry.recording


@pytest.mark.parametrize(
    ("arguments", "error"), [({"interval": -1}, ConfigError), ({"tokn": 1}, TypeError)]
)
def test_token_in_no_traceback(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    """The frames of a failing configure() have no local variable with the token."""
    with pytest.raises(error) as caught:
        configure(token="CAN" + "ARY", **arguments)
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    for frame in list(shown.stack)[1:]:  # the first is this test
        assert "CANARY" not in str(frame.locals)
