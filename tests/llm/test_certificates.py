"""A server whose certificate nobody vouches for gets no question; authorities come from the environment."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import trustme

from hardneg.data import chat
from hardneg.errors import PartError
from hardneg.llm.openai import OpenAI
from hardneg.testing import FaultServer

UNKNOWN = r"nobody known vouches for the certificate of https://.* \(unable to get local issuer certificate\); .*SSL_CERT_FILE"
QUESTION = [chat.Request((chat.Message("user", "hello"),), chat.Sampling(8))]


@contextmanager
def https(authority: trustme.CA, behind: str) -> Iterator[str]:
    """A server on loopback with a certificate of the authority, before the server at the address ``behind``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inner = Request(behind + self.path.removeprefix("/v1"), body, {"Content-Type": "application/json"})
            with urlopen(inner) as answer:
                found = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is what is tried here."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


def asked(url: str) -> chat.Completion:
    [answer] = OpenAI(model="any", base_url=url, attempts=1, timeout=5).complete(QUESTION)
    return answer


@pytest.fixture(autouse=True)
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_only_a_certificate_that_an_authority_vouches_for_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    for name, own in (("known.pem", authority), ("other.pem", other)):
        own.cert_pem.write_to_path(str(tmp_path / name))
    with FaultServer() as server, https(authority, server.url) as url:
        with pytest.raises(PartError, match=UNKNOWN):
            asked(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
        with pytest.raises(PartError, match=UNKNOWN):
            asked(url)
        assert not server.delivered
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "known.pem"))
        assert asked(url).error is None
        assert server.delivered
