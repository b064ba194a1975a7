"""The settings that name files of certificates, and the environment's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._core.fork_guard import forks_wait
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret

__all__ = [
    "ca_file",
    "client_certificate_problems",
    "key_password",
    "path",
    "trusted_by_environment",
]


def path(value: object) -> str | None:
    """Return *value* as the path of a file or a directory."""
    if value is None:
        return None
    path = call_safely(os.fspath, value, default=None)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise InvalidSettingError("be a path", value)
    return path


def ca_file(value: object) -> str | None:
    """Return the path of a file of certificates, which is read."""
    file = path(value)
    if file is None:
        return None
    from dtmetrics._export.tls import holds_certificates  # noqa: PLC0415 -- as below

    if not holds_certificates(file):
        requirement = "name a readable file of PEM certificates"
        raise InvalidSettingError(requirement, file)
    return file


def key_password(secret: Secret) -> Secret:
    """Return the password of a private key.

    One from a mounted file ends in a line end.
    """
    if not isinstance(secret.reveal(), str):
        raise InvalidSettingError("be a str", secret)
    return Secret(secret.reveal().rstrip("\r\n"))


def client_certificate_problems(
    names: Mapping[str, str], *, cert: str | None, key: str | None, password: Secret
) -> list[str]:
    """Return why the client's certificate and key cannot be used together, if so.

    *names* has the argument or variable of each setting.
    """
    if cert is None:
        needless = next((n for n in ("client_key", "key_password") if n in names), "")
        requirement = f"client_cert must be set with {needless}, got none"
        return [requirement] if needless else []
    for name, file in ("client_cert", cert), ("client_key", key):
        if file is not None and not os.access(file, os.R_OK):
            error = InvalidSettingError("name a readable file", file)
            return [error.sentence(names[name])]
    import ssl  # noqa: PLC0415 -- 15 ms, which an exporter of the user's own saves

    from dtmetrics._export.tls import (  # noqa: PLC0415
        TlsFiles,
        load_client_certificate,
    )

    files = TlsFiles(client_cert=cert, client_key=key, key_password=password)
    try:
        with forks_wait():
            load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), files)
    except (OSError, ValueError) as error:
        return [_sentence(names, error, cert=cert, key=key)]
    return []


def _sentence(
    names: Mapping[str, str], error: Exception, *, cert: str, key: str | None
) -> str:
    reason = getattr(error, "reason", None) or ""
    if "KEY_VALUES_MISMATCH" in reason or "KEY_TYPE_MISMATCH" in reason:
        found = InvalidSettingError("be the key of client_cert", key or cert)
        return found.sentence(names.get("client_key", names["client_cert"]))
    if _is_encrypted(key or cert):
        found = InvalidSettingError("decrypt the key of client_cert", got="another one")
        return found.sentence(names.get("key_password", "key_password"))
    if key is None:
        found = InvalidSettingError("name a PEM file of certificate and key", cert)
        return found.sentence(names["client_cert"])
    requirement = "name PEM files of a certificate and its key"
    found = InvalidSettingError(requirement, got=type(error).__name__)
    return found.sentence(f"{names['client_cert']} and {names['client_key']}")


def _is_encrypted(file: str) -> bool:
    # OpenSSL's error is the same for a wrong password and for a malformed key. Both
    # forms of an encrypted key have the word in a line before it.
    content = call_safely(Path(file).read_bytes, default=b"")
    return b"ENCRYPTED" in content


def trusted_by_environment(
    variables: Mapping[str, str],
) -> tuple[str | None, str | None, list[str]]:
    """Return the file or the directory of the first variable whose value can be used.

    *variables* are those that name certificates, in their order. The last item has
    those that cannot be used and come before it. Such a variable raises no ConfigError,
    because it is meant for other programs too.
    """
    from dtmetrics._export.tls import holds_certificates  # noqa: PLC0415 -- as above

    unusable: list[str] = []
    for name, value in variables.items():
        # OpenSSL takes a list of directories.
        if any(map(os.path.isdir, value.split(os.pathsep))):
            return None, value, unusable
        if holds_certificates(value):
            return value, None, unusable
        unusable.append(name)
    return None, None, unusable
