"""A Redis of its own, on loopback, as a program that keeps nothing."""

from __future__ import annotations

from tests.support.endpoint import refusing_port
from tests.support.system_server import SystemServer, server_program


class RedisServer(SystemServer):
    """A context manager; the test is skipped where Redis is missing."""

    def __init__(self) -> None:
        command = server_program("redis-server")
        self.port = refusing_port()
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly no".split()
        super().__init__([command, *options, "--save", ""], self.port)

    @property
    def url(self) -> str:
        """The URL of its database 0."""
        return f"redis://127.0.0.1:{self.port}/0"
