"""nginx in front of an endpoint, on loopback, as a program of its own."""

from __future__ import annotations

from pathlib import Path

from tests.support.endpoint import refusing_port
from tests.support.system_server import SystemServer, server_program

_CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_timeout 200ms;
    client_max_body_size 2k;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location /metrics/ingest {{ proxy_pass http://127.0.0.1:{backend}; }}
        location /forbidden {{ return 403; }}
    }}
}}
"""


class Nginx(SystemServer):
    """A context manager. *certificate* and *key* are for ``tls_port``."""

    def __init__(
        self, directory: Path, backend: int, certificate: Path, key: Path
    ) -> None:
        command = server_program("nginx")
        self.port, self.tls_port = refusing_port(), refusing_port()
        file = directory / "nginx.conf"
        file.write_text(
            _CONFIGURATION.format(
                directory=directory,
                port=self.port,
                tls_port=self.tls_port,
                certificate=certificate,
                key=key,
                backend=backend,
            )
        )
        super().__init__(
            [command, "-p", str(directory), "-c", str(file)], self.tls_port
        )

    def url(self, path: str = "/metrics/ingest") -> str:
        """Return the URL of *path* over plain http."""
        return f"http://127.0.0.1:{self.port}{path}"
