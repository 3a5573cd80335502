"""Where requests and keys may go: every spelling of an address, names that lead elsewhere, proxies of the environment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from asking import client

from hardneg.data.chat import Message, Request, Sampling
from hardneg.errors import PartError
from hardneg.llm import address
from hardneg.llm.openai import OpenAI
from hardneg.testing import FaultServer

QUESTION = [Request((Message("user", "hello"),), Sampling(8))]
KEY = "sk-0123456789abcdef"
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, and no proxy."""
    monkeypatch.setenv("THE_KEY", KEY)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


METADATA = [
    "169.254.169.254",
    "169.254.169.254.",
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "0xa9.0xfe.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "[fe80::1]",
    "[fe80::1%251]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.170.2",
]


@pytest.mark.parametrize("host", METADATA)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_metadata_address_is_refused_however_it_is_spelt(scheme: str, host: str) -> None:
    with pytest.raises(PartError, match=r"`base_url`: .* where clouds keep their metadata"):
        OpenAI(model="any", base_url=f"{scheme}://{host}/v1")


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_key_goes_to_this_machine_without_https(host: str) -> None:
    OpenAI(model="any", base_url=f"http://{host}:8000/v1", api_key_env="THE_KEY")


@pytest.mark.parametrize("host", ["10.0.0.1", "167772161", "example.org", "localhost.example.org", "[::ffff:10.0.0.1]"])
def test_a_key_goes_nowhere_else_without_https(host: str) -> None:
    with pytest.raises(PartError, match="in the clear"):
        OpenAI(model="any", base_url=f"http://{host}:8000/v1", api_key_env="THE_KEY")
    OpenAI(model="any", base_url=f"http://{host}:8000/v1")
    OpenAI(model="any", base_url=f"https://{host}:8000/v1", api_key_env="THE_KEY")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a name server say that a name stands for these addresses, one after another."""
    real = socket.getaddrinfo

    def name(host: str, *addresses: str) -> None:
        left = list(addresses)

        def answer(asked: Any, port: Any, *rest: Any, **options: Any) -> Any:
            if asked != host or options.get("flags", 0) & socket.AI_NUMERICHOST:
                return real(asked, port, *rest, **options)
            found = left.pop(0) if len(left) > 1 else left[0]
            return real(found, port, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return name


def test_a_name_that_leads_to_a_metadata_address_is_not_connected_to(named: Callable[..., None]) -> None:
    named("models.example.org", "169.254.169.254")
    part = OpenAI(model="any", base_url="http://models.example.org/v1", timeout=5)
    with pytest.raises(PartError, match=r"models\.example\.org/v1 is 169\.254\.169\.254, .* metadata"):
        list(part.complete(QUESTION))


def test_a_name_that_moves_after_it_was_looked_up_is_not_followed(
    named: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer() as server:
        port = server.url.split(":")[2].removesuffix("/v1")
        named("models.example.org", "127.0.0.1", "127.0.0.2")
        part = OpenAI(model="any", base_url=f"http://models.example.org:{port}/v1", timeout=5)
        [first] = part.complete(QUESTION)
        assert first.error is None
        monkeypatch.setattr(address, "METADATA", (ip_network("127.0.0.2/32"),))
        with pytest.raises(PartError, match=r"is 127\.0\.0\.2"):
            list(part.complete(QUESTION))
    assert server.sent.total() == 1


def test_a_localhost_that_is_another_machine_gets_no_key(named: Callable[..., None]) -> None:
    named("localhost", "10.255.255.1")
    part = OpenAI(model="any", base_url="http://localhost:9/v1", api_key_env="THE_KEY", timeout=5)
    with pytest.raises(PartError, match=r"is 10\.255\.255\.1: the key would go there in the clear"):
        list(part.complete(QUESTION))


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_sees_nothing_unless_the_client_says_so(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with FaultServer() as proxy, FaultServer() as server:
        monkeypatch.setenv(variable, proxy.url.removesuffix("/v1"))
        for key in (None, "THE_KEY"):
            [found] = client(server, api_key_env=key).complete(QUESTION)
            assert found.error is None
        assert (proxy.sent.total(), server.sent.total()) == (0, 2)
        [found] = client(server, environment_proxies=True).complete(QUESTION)
        assert (proxy.sent.total(), server.sent.total()) == (1, 2)
        assert KEY not in str(proxy.headers)
        with pytest.raises(PartError, match="`environment_proxies`: the key would go to the proxy in the clear"):
            client(server, environment_proxies=True, api_key_env="THE_KEY")


def test_a_key_by_https_is_not_seen_by_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked for a tunnel, and gets what opens one: nothing of the request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.settimeout(10)
        heard: list[bytes] = []

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        part = OpenAI(
            model="any",
            base_url="https://models.example.org/v1",
            api_key_env="THE_KEY",
            environment_proxies=True,
            attempts=1,
            timeout=5,
        )
        [found] = part.complete(QUESTION)
        thread.join()
    assert found.failure == "unreachable"
    assert heard[0].startswith(b"CONNECT models.example.org:443")
    assert KEY.encode() not in heard[0]
