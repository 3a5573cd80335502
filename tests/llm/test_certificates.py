"""A server whose certificate nobody vouches for gets no question; authorities come from the environment."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from hardneg.data.chat import Completion, Message, Request, Sampling
from hardneg.errors import PartError
from hardneg.llm.openai import OpenAI
from hardneg.testing import FaultServer

UNKNOWN = r"nobody known vouches for the certificate of https://.* \(unable to get local issuer certificate\); .*SSL_CERT_FILE"
QUESTION = [Request((Message("user", "hello"),), Sampling(8))]


@contextmanager
def https(authority: trustme.CA, behind: str) -> Iterator[str]:
    """A server on loopback with a certificate of the authority, before the server at the address ``behind``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    loop, address = asyncio.new_event_loop(), urlsplit(behind)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
        target.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(copy(reader, outer), copy(inner, writer), return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}{address.path}"
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def asked(url: str) -> Completion:
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
