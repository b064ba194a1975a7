"""The effective settings, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial

from dtmetrics._config import environment
from dtmetrics._config.config import Config
from dtmetrics._config.document import NO_DOCUMENT
from dtmetrics._config.document_file import file_of_environment
from dtmetrics._config.invalid_setting import describe
from dtmetrics._config.platform_files import endpoint_file, read_destination
from dtmetrics._config.settings import SETTINGS
from dtmetrics._config.token_setting import text_of
from dtmetrics._core.secret import Secret
from dtmetrics._doctor.finding import Finding, Status, ok, problem
from dtmetrics.errors import ConfigError

__all__ = ["EffectiveSettings", "resolve", "settings_findings"]


@dataclass
class EffectiveSettings:
    """The settings of ``configure()`` in this environment.

    ``config`` is None if they are not valid.
    """

    config: Config | None
    problems: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)


def resolve(
    arguments: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> EffectiveSettings:
    """Return the settings: *arguments*, then variables, a file, defaults.

    The file is the one of settings, or the operator's. *environ* is left out for the
    real environment.
    """
    file, document = file_of_environment(environ), NO_DOCUMENT
    variables = environment.settings_of(environ)
    origins: dict[str, str] = {}
    if file is not None:
        document = file.document(file.read())
        origins |= dict.fromkeys(document.settings, f"file, {file.shown}")
    origins |= {name: f"environment, {variables[name][0]}" for name in variables}
    origins |= dict.fromkeys(arguments, "command line")
    resolved = partial(Config.resolve, arguments, environ, document=document)
    try:
        exporters = resolved().exporters
        # The way to the endpoint is examined even if it gets nothing.
        config = resolved(ignored=("exporters",))
        config = replace(config, exporters=exporters)
    except ConfigError as error:
        return EffectiveSettings(None, list(error.problems), origins)
    if not config.endpoint_from_file:
        return EffectiveSettings(config, [], origins)
    path = endpoint_file(config.platform_directory)
    endpoint, token = read_destination(path)
    if not endpoint:
        # A OneAgent gets no token.
        config = replace(config, token=Secret(""), token_file=None)
        return EffectiveSettings(config, [], origins)
    try:
        found = config.with_destination(endpoint, token)
    except ConfigError as error:
        problems = [f"{path}: {sentence}" for sentence in error.problems]
        return EffectiveSettings(None, problems, origins)
    origins["endpoint"] = f"file, {path}"
    if found.token and not config.token:
        origins["token"] = f"file, {path}"
    return EffectiveSettings(found, [], origins)


def settings_findings(effective: EffectiveSettings) -> Iterator[Finding]:
    """Yield one finding for each setting, or for each problem."""
    for sentence in effective.problems:
        yield Finding("settings", Status.PROBLEM, sentence, "correct the setting")
    config = effective.config
    if config is None:
        return
    for each in fields(config):
        if each.name in SETTINGS:
            value = _shown(config, each.name)
            origin = effective.origins.get(each.name, "default")
            yield ok(
                "settings",
                f"{each.name} = {value} ({origin})",
                setting=each.name,
                value=value,
                origin=origin,
            )
    if config.exporters and None not in config.exporters:
        text = "nothing is sent to the endpoint, which is not among the exporters"
        variable = effective.origins["exporters"].rpartition(" ")[2]
        yield problem("settings", text, None, f"add dynatrace to {variable}")


def _shown(config: Config, name: str) -> str:
    """Return the value of a setting as text, and of a secret what may be shown."""
    if name == "token":
        public = config.public_token
        return f"{public}.***" if public else "***" if config.token else "none"
    if name == "exporters" and config.exporters:
        kinds = [type(each).__name__ for each in config.exporters if each is not None]
        return ", ".join([*kinds, *["dynatrace"] * (None in config.exporters)])
    value = getattr(config, name)
    if isinstance(value, Secret):
        return repr(value)
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}={each}" for key, each in value.items()) or None
    if isinstance(value, tuple):
        value = ", ".join(value) or None
    # The path of a URL may hold a token by mistake.
    return "none" if value is None else describe(value, text_of(config.token))
