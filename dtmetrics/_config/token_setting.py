"""Where the token comes from, and what a token must be."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from typing import Any

from dtmetrics._config.certificate_settings import path as path_setting
from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._core.secret import Secret
from dtmetrics._export.token import TokenUnavailableError

__all__ = [
    "public_part",
    "read_callable",
    "read_file",
    "text_of",
    "token",
    "token_file",
]

_LONGEST_TOKEN = 1024
# Enough for a token, and for the message about a file that is something else.
_BYTES_LIMIT = 64 * 1024

# The part of a token that identifies it, and may be shown
# (https://docs.dynatrace.com/docs/discover-dynatrace/references/dynatrace-api/basics/dynatrace-api-authentication).
_PUBLIC_PART = re.compile(r"(dt0[a-z][0-9]{2}\.[A-Z0-9]{1,64})\.")

_QUOTES = "\"'`"
# What a template leaves in place of a token: ${DT_TOKEN}, $DT_TOKEN, $(token), %TOKEN%,
# <your-token>, {{ token }}, [token].
_PLACEHOLDER = re.compile(r"\$.*|%.*%|.*(\$\{|\$\(|<|>|\{\{|\}\}).*|\{.*\}|\[.*\]")
# As curl takes files, or with two separators.
_PATH = re.compile(r"@.+|(~|\.{0,2})/.*/.*|[A-Za-z]:\\.+|file:.*", re.DOTALL)
_SCHEME = re.compile(r"(api-token|bearer)\b.*", re.IGNORECASE | re.DOTALL)


def token(secret: Secret) -> Secret:
    """Return the token in *secret*, or the callable that returns it, as a secret."""
    value = secret.reveal()
    if isinstance(value, os.PathLike):
        raise InvalidSettingError("be a str", secret, hint="token_file")
    if not callable(value):
        return _valid(secret)
    if inspect.iscoroutinefunction(value):
        raise InvalidSettingError(
            "be a str or a function that returns one", got="a coroutine function"
        )
    return secret


def token_file(value: object) -> str | None:
    """Return the path of a file that holds a token."""
    path = path_setting(value)
    if path is not None:
        _read(path)
    return path


def text_of(secret: Secret) -> str:
    """Return the token in *secret* if it is a text, to keep it out of messages."""
    value = secret.reveal()
    return value if isinstance(value, str) else ""


def public_part(secret: Secret) -> str:
    """Return the part of the token that identifies it and may be shown, or nothing."""
    public = _PUBLIC_PART.match(text_of(secret))
    return public[1] if public else ""


def read_file(path: str, source: str) -> Secret:
    """Return the token in the file at *path*, which the setting *source* names.

    Raises TokenUnavailableError.
    """
    try:
        return _read(path)
    except InvalidSettingError as error:
        raise TokenUnavailableError(error.sentence(source)) from None


def read_callable(call: Callable[[], Any], source: str) -> Secret:
    """Return the token that *call*, the value of the setting *source*, returns.

    Raises TokenUnavailableError for what cannot be a token, and any error of *call*.
    """
    secret = Secret(call())
    try:
        return _not_empty(_valid(secret))
    except InvalidSettingError as error:
        sentence = error.sentence(f"the value that {source} returns")
        raise TokenUnavailableError(sentence) from None


def _read(path: str) -> Secret:
    try:
        with open(path, "rb") as file:
            # No variable shows the token, as a traceback with locals would.
            secret = Secret(file.read(_BYTES_LIMIT).decode("utf-8-sig"))
    except (OSError, ValueError):
        raise InvalidSettingError("name a readable text file", path) from None
    try:
        return _not_empty(_valid(secret))
    except InvalidSettingError as error:
        requirement = f"name a file with a token, which must {error.requirement}"
        raise InvalidSettingError(requirement, got=error.got) from None


def _not_empty(secret: Secret) -> Secret:
    if not secret:
        raise InvalidSettingError("not be empty", got="none")
    return secret


def _valid(secret: Secret) -> Secret:
    """Return the token in *secret* without the spaces around it.

    One from a mounted file ends in a line end. docker's --env-file leaves the quotes.
    """
    if not isinstance(secret.reveal(), str):
        raise InvalidSettingError("be a str", secret, got="***")
    secret = Secret(secret.reveal().strip())
    if secret and {secret.reveal()[0], secret.reveal()[-1]} & {*_QUOTES}:
        raise InvalidSettingError("have no quotes around it", got="one with quotes")
    if _SCHEME.fullmatch(secret.reveal()):
        requirement = "be the token alone"
        raise InvalidSettingError(requirement, got="one with 'Api-Token' or 'Bearer'")
    if _PLACEHOLDER.fullmatch(secret.reveal()):
        raise InvalidSettingError("be filled in", got="a placeholder")
    if _PATH.fullmatch(secret.reveal()):
        requirement = "be the token itself"
        raise InvalidSettingError(requirement, got="a path", hint="token_file")
    if not re.fullmatch(f"[!-~]{{0,{_LONGEST_TOKEN}}}", secret.reveal()):
        raise InvalidSettingError(
            f"have at most {_LONGEST_TOKEN} characters, printable ASCII without spaces",
            got=f"{len(secret.reveal())} characters",
        )
    return secret
