"""TLS contexts, made again when a file of them changes."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import NamedTuple

from dtmetrics._core import log
from dtmetrics._core.fork_guard import forks_wait
from dtmetrics._core.secret import Secret

__all__ = [
    "NO_PASSWORD",
    "TlsContext",
    "TlsFiles",
    "holds_certificates",
    "load_client_certificate",
]

_CHECK_SECONDS = 60.0
#: One object, because secrets are compared by identity, and contexts are cached.
NO_PASSWORD = Secret("")


class TlsFiles(NamedTuple):
    """The files of PEM certificates that a TLS context is made of."""

    #: What to trust instead of the system's certificates.
    ca_file: str | None = None
    #: The same, as a directory in OpenSSL's form, which OpenSSL itself reads again.
    ca_directory: str | None = None
    #: The certificate by which the endpoint identifies this client, and its key.
    client_cert: str | None = None
    client_key: str | None = None
    key_password: Secret = NO_PASSWORD

    def fingerprint(self) -> str:
        """Return a text that differs if the content of a file does.

        Without a file of certificates to trust, those of the system count.
        """
        ca_file = self.ca_file
        if ca_file is None and self.ca_directory is None:
            ca_file = ssl.get_default_verify_paths().cafile
        paths = ca_file, self.client_cert, self.client_key
        return " ".join(_digest(path) for path in paths if path is not None)


class TlsContext:
    """The context for new connections: ``context``.

    ``renew()`` makes it again if the content of a file has changed, and looks at most
    once a minute. Plain http needs no certificates: it is never redirected here.
    """

    def __init__(
        self,
        files: TlsFiles,
        *,
        https: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._files = files if https else None
        self._clock = clock
        self._fingerprint = files.fingerprint() if https else ""
        self._unusable = ""
        self._check_at = clock() + _CHECK_SECONDS
        self.context = (
            _context(files, self._fingerprint)
            if https
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )

    def renew(self) -> bool:
        """Make the context again if a file has changed; return whether it was made.

        Files that cannot be used change nothing: a key may be written a moment after
        its certificate. They are tried again a minute later.
        """
        if self._files is None or self._clock() < self._check_at:
            return False
        self._check_at = self._clock() + _CHECK_SECONDS
        fingerprint = self._files.fingerprint()
        if fingerprint == self._fingerprint:
            return False
        try:
            self.context = _context(self._files, fingerprint)
        except (OSError, ValueError) as error:  # ssl's errors are OSErrors too
            if fingerprint != self._unusable:
                self._unusable = fingerprint
                kind = type(error).__name__
                log.warning("changed certificates cannot be used: %s", kind)
            return False
        self._fingerprint = fingerprint
        log.info("changed certificates are in use")
        return True


# Loading the trusted certificates takes 33 to 49 ms, which exporters of one process pay
# once. Bounded, because files may change often.
@lru_cache(maxsize=4)
def _context(files: TlsFiles, _fingerprint: str) -> ssl.SSLContext:
    """Return the context of *files*, whose contents have this fingerprint."""
    trusted = files.ca_file, files.ca_directory
    with forks_wait():
        context = ssl.create_default_context(cafile=trusted[0], capath=trusted[1])
        load_client_certificate(context, files)
    # CPython's default, which Debian's build leaves to the settings of OpenSSL.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    # A trusted certificate need not be that of an authority: a server's own will do.
    # Python 3.13 has this default.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if trusted != (None, None):
        # The default of Python 3.13 refuses the certificates of many a company: without
        # a key identifier of their authority, for example, as OpenSSL 3.0 makes them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def holds_certificates(file: str) -> bool:
    """Return whether *file* can be trusted; its context is then in the cache."""
    files = TlsFiles(ca_file=file)
    try:
        _context(files, files.fingerprint())
    except (OSError, ValueError):  # ssl's errors are OSErrors too
        return False
    return True


def load_client_certificate(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Load the client's certificate of *files*, if there is one, into *context*.

    Raises OSError if a file cannot be read or used, and its subclass ssl.SSLError if
    the key belongs to another certificate or cannot be decrypted.
    """
    if files.client_cert is not None:
        # A function, because OpenSSL prompts on the terminal for an absent password.
        context.load_cert_chain(
            files.client_cert, files.client_key, files.key_password.reveal
        )


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        return type(error).__name__
