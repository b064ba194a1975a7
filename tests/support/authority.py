"""A certificate authority of the test, and contexts of servers with its certificates."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest

trustme = pytest.importorskip("trustme")

__all__ = ["Authority"]

LOCAL = ("127.0.0.1", "localhost")


class Authority:
    """Issues certificates, and writes them to files in *directory*."""

    def __init__(self, directory: Path, unit: str | None = None) -> None:
        self._ca = trustme.CA(organization_name="tests", organization_unit_name=unit)
        self._directory = directory
        #: The file to trust.
        self.path = directory / f"ca-{id(self)}.pem"
        self.path.write_bytes(self._ca.cert_pem.bytes())

    def issue(
        self, name: str, *, names: tuple[str, ...] = LOCAL, days: int = 2
    ) -> tuple[Path, Path]:
        """Return the files of a certificate for *names*, *days* valid, and of its key."""
        issued = self._ca.issue_cert(
            *names,
            common_name=name,
            not_after=datetime.now(timezone.utc) + timedelta(days),
        )
        paths = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        paths[0].write_bytes(issued.cert_chain_pems[0].bytes())
        paths[1].write_bytes(issued.private_key_pem.bytes())
        return paths

    def server(
        self,
        *names: str,
        name: str = "server",
        days: int = 2,
        client_ca: Path | None = None,
    ) -> ssl.SSLContext:
        """Return the context of a server that has one of these *names*.

        With *client_ca* it requires a certificate of its clients.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, names=names or LOCAL, days=days))
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, name: str = "client.example") -> tuple[Path, Path]:
        """Return the files of a client's certificate and of its key."""
        return self.issue(name, names=(name,))

    def leaf(self, *names: str) -> tuple[ssl.SSLContext, Path]:
        """Return the context of a server, and the file of its own certificate alone."""
        name = f"leaf-{uuid4()}"
        context = self.server(*names, name=name)
        return context, self._directory / f"{name}.pem"
