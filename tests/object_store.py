"""A real S3 server on this machine, and a connection to it that can be cut."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import fsspec


class Line:
    """Passes connections on to a server until it is cut. ``url`` is what clients connect to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._left: int | None = None
        self._on_cut: Callable[[], object] = lambda: None
        self.passed = 0
        """Bytes that came from clients."""
        self.cut = False
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def cut_after(self, count: int, then: Callable[[], object] = lambda: None) -> None:
        """Lets so many more bytes of clients pass, then closes all connections and takes no new ones."""
        self._left, self._on_cut = count, then

    def mend(self) -> None:
        self._left, self.cut = None, False

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            if self.cut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.port))
            with self._lock:
                self._open += [client, server]
            for source, target, counted in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, counted), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                if counted:
                    data = self._allowed(data)
                target.sendall(data)
                if self.cut:
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _allowed(self, data: bytes) -> bytes:
        with self._lock:
            self.passed += len(data)
            if self._left is None:
                return data
            data, self._left = data[: self._left], max(self._left - len(data), 0)
            if self._left or self.cut:
                return data
            self.cut = True
            self._on_cut()
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._open.clear()
            return b""


def variables(line: Line) -> dict[str, str]:
    """The environment in which S3 is what lies behind a line. What fails is not tried again."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    return keys | {"AWS_ENDPOINT_URL": line.url, "AWS_MAX_ATTEMPTS": "1"}


@lru_cache(maxsize=1)
def files(port: int) -> Any:
    """The file system, by a connection that nobody cuts."""
    options = {"endpoint_url": f"http://127.0.0.1:{port}", "key": "test", "secret": "test"}
    return fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False, **options)


class Store:
    """A new bucket. ``url`` is a folder in it."""

    def __init__(self, line: Line) -> None:
        bucket = f"bucket-{secrets.token_hex(4)}"
        self.line, self.url, self.files = line, f"s3://{bucket}/some", files(line.port)
        self.files.mkdir(bucket)

    def put(self, folder: object, name: str) -> str:
        """Puts a folder there. Returns its URL."""
        self.files.put(f"{folder}/", f"{self.url}/{name}/", recursive=True)
        return f"{self.url}/{name}"

    def contents(self, name: str) -> dict[str, bytes]:
        """The files below a folder, by name."""
        root = f"{self.url}/{name}".removeprefix("s3://").rstrip("/")
        found: dict[str, bytes] = self.files.cat(self.files.find(root))
        return {path.removeprefix(f"{root}/"): content for path, content in found.items()}


@contextmanager
def server() -> Iterator[int]:
    """moto's server in a thread. Yields its port."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield running.get_host_and_port()[1]
    running.stop()
