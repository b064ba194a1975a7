from __future__ import annotations

import traceback
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._config.config import Config
from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._config.token_setting import (
    read_callable,
    read_file,
    text_of,
    token,
    token_file,
)
from dtmetrics._core.secret import Secret
from dtmetrics._export.token import TokenUnavailableError
from dtmetrics.errors import ConfigError

TOKEN = "dt0c01.CANARY.secret"
SAAS = "https://abc.live.dynatrace.com"

NOT_TOKENS = {
    f'"{TOKEN}"': "have no quotes around it, got one with quotes",
    f"'{TOKEN}'": "have no quotes around it, got one with quotes",
    f"`{TOKEN}": "have no quotes around it, got one with quotes",
    f"{TOKEN}'": "have no quotes around it, got one with quotes",
    "${DT_TOKEN}": "be filled in, got a placeholder",
    "$DT_TOKEN": "be filled in, got a placeholder",
    "$(cat token)": "be filled in, got a placeholder",
    "%DT_TOKEN%": "be filled in, got a placeholder",
    "<your-token>": "be filled in, got a placeholder",
    "dt0c01.<public>.<secret>": "be filled in, got a placeholder",
    "dt0c01.${PUBLIC}.x": "be filled in, got a placeholder",
    "{{ token }}": "be filled in, got a placeholder",
    "{token}": "be filled in, got a placeholder",
    "[token]": "be filled in, got a placeholder",
    f"Api-Token {TOKEN}": "be the token alone, got one with 'Api-Token' or 'Bearer'",
    f"bearer {TOKEN}": "be the token alone, got one with 'Api-Token' or 'Bearer'",
    "Api-Token": "be the token alone, got one with 'Api-Token' or 'Bearer'",
    "/run/secrets/token": "be the token itself, got a path",
    "@/run/secrets/token": "be the token itself, got a path",
    "~/dynatrace/token": "be the token itself, got a path",
    "./secrets/token": "be the token itself, got a path",
    r"C:\secrets\token": "be the token itself, got a path",
    "file:///run/token": "be the token itself, got a path",
}


@pytest.mark.parametrize("text", NOT_TOKENS)
def test_not_a_token(text: str, tmp_path: Path) -> None:
    """Quotes, placeholders and paths are invalid as a token, and as a file's content."""
    path = tmp_path / "token"
    path.write_text(f"{text}\n")
    with pytest.raises(ConfigError) as caught:
        Config.resolve({"endpoint": Secret(SAAS), "token": Secret(text)}, {})
    (problem,) = caught.value.problems
    assert problem.startswith(f"token must {NOT_TOKENS[text]}")
    assert problem.endswith("(did you mean token_file?)") == ("a path" in problem)
    with pytest.raises(ConfigError) as caught:
        Config.resolve({"endpoint": Secret(SAAS), "token_file": str(path)}, {})
    (problem,) = caught.value.problems
    requirement = f"name a file with a token, which must {NOT_TOKENS[text]}"
    assert problem == f"token_file must {requirement}"
    assert "CANARY" not in problem


@pytest.mark.parametrize(
    "text",
    [TOKEN, "a", "dt0s16.ABC.DEF", "abc/def+ghi=", "/9j4AAQ=", "x$y", "a-b_c~d.e"],
)
def test_unusual_tokens(text: str) -> None:
    """A token of another system than Dynatrace may have other characters."""
    assert text_of(token(Secret(text))) == text


def test_path_as_token(tmp_path: Path) -> None:
    """A path as the token is invalid, with a hint at the setting that takes it."""
    with pytest.raises(InvalidSettingError) as caught:
        token(Secret(tmp_path))
    sentence = "token must be a str, got *** (did you mean token_file?)"
    assert caught.value.sentence("token") == sentence


def test_callable_token() -> None:
    """A callable is a token, and is not called when the settings are checked."""
    called: list[int] = []
    secret = token(Secret(partial(called.append, 1)))
    assert callable(secret.reveal())
    assert called == []
    assert text_of(secret) == ""


def test_coroutine_function() -> None:
    """A coroutine function is an error: no event loop would run it."""

    async def read() -> str:
        return TOKEN

    with pytest.raises(InvalidSettingError) as caught:
        token(Secret(read))
    assert caught.value.sentence("token") == (
        "token must be a str or a function that returns one, got a coroutine function"
    )


def test_read_callable() -> None:
    """What a callable returns is checked as a token is, and its errors are its own."""
    assert read_callable(lambda: f" {TOKEN}\n", "token").reveal() == TOKEN
    for value, text in [
        (None, "be a str, got ***"),
        (TOKEN.encode(), "be a str, got ***"),
        ("", "not be empty, got none"),
        (f'"{TOKEN}"', "have no quotes around it, got one with quotes"),
    ]:
        with pytest.raises(TokenUnavailableError) as caught:
            read_callable(lambda value=value: value, "token")  # type: ignore[misc]
        assert str(caught.value) == f"the value that token returns must {text}"
    with pytest.raises(ZeroDivisionError):
        read_callable(lambda: 1 // 0, "token")


def test_token_file(tmp_path: Path) -> None:
    """The token of a file loses the spaces, the line end and the byte order mark."""
    path = tmp_path / "token"
    path.write_bytes(b"\xef\xbb\xbf  " + TOKEN.encode() + b"\r\n")
    assert token_file(path) == str(path)
    assert token_file(None) is None
    assert read_file(str(path), "token_file").reveal() == TOKEN


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe\0", b"a b", b"a\nb"])
def test_unusable_token_file(content: bytes | None, tmp_path: Path) -> None:
    """A file that is absent, empty, binary or holds more than a token is invalid."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidSettingError):
        token_file(path)
    with pytest.raises(TokenUnavailableError, match="^token_file must name a "):
        read_file(str(path), "token_file")
    with pytest.raises(InvalidSettingError):
        token_file(tmp_path)


def resolve(environ: dict[str, str], **arguments: Any) -> Config:
    """Resolve the settings for an endpoint elsewhere."""
    return Config.resolve({"endpoint": Secret(SAAS), **arguments}, environ)


def test_precedence(tmp_path: Path) -> None:
    """An argument wins over both variables, and DTMETRICS_TOKEN_FILE over the operator's."""
    path = str(tmp_path / "token")
    Path(path).write_text(TOKEN)
    config = resolve({"DTMETRICS_TOKEN": "env"}, token_file=path)
    assert (config.token_file, config.token.reveal()) == (path, "")
    config = resolve({"DTMETRICS_TOKEN_FILE": path}, token=Secret("arg"))
    assert (config.token_file, config.token.reveal()) == (None, "arg")
    environ = {"DTMETRICS_TOKEN_FILE": path, "DT_METRICS_INGEST_API_TOKEN": "operator"}
    config = resolve(environ)
    assert (config.token_file, config.token.reveal()) == (path, "")
    assert config.token_changes
    with pytest.raises(ConfigError) as caught:
        resolve({"DTMETRICS_TOKEN_FILE": path, "DTMETRICS_TOKEN": "x"})
    assert caught.value.problems == (
        "DTMETRICS_TOKEN must be set without DTMETRICS_TOKEN_FILE, got both",
    )


def test_token_file_for_the_operators_endpoint(tmp_path: Path) -> None:
    """A token file that was set wins over the token of the operator's file."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    config = Config.resolve({"token_file": path}, {})
    found = config.with_destination(Secret(SAAS), Secret("file"))
    assert (found.token_file, found.token.reveal()) == (str(path), "")


def test_file_content_in_no_traceback(tmp_path: Path) -> None:
    """The traceback of an invalid token file shows nothing of its content."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN} {TOKEN}")
    with pytest.raises(InvalidSettingError) as caught:
        token_file(path)
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    assert "CANARY" not in "".join(shown.format())
