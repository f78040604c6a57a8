"""Until a connection stands nothing was sent: it costs nothing. What stands between is told no key."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ftvp_core.errors import CallFailed
from ftvp_core.models.openai_compatible import OpenAICompatible
from ftvp_core.types import Answer, Example, Message, Request
from tests.fault_server import fault_server

KEY = "sk-a-secret-of-some-length"


async def ask(base_url: str, timeout_s: float = 5) -> Answer:
    model = OpenAICompatible(base_url, "m", KEY)
    try:
        return await model.answer(Request(Example("1", "?", ("yes",), {}), (Message("user", "[ex-1]"),)), timeout_s)
    finally:
        await model.close()


@contextmanager
def silent_host() -> Iterator[str]:
    """A host that takes up no connection: its queue of them is full, and what comes is dropped."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        try:
            yield f"http://127.0.0.1:{address[1]}/v1"
        finally:
            for one in waiting:
                one.close()


def test_a_host_that_drops_what_comes_was_sent_nothing() -> None:
    with silent_host() as url, pytest.raises(CallFailed, match=r"can't connect to 127.0.0.1:\d+ in time") as raised:
        asyncio.run(ask(url, 1))
    assert (raised.value.outcome, raised.value.retry) == ("unsent", True)


def certificate(folder: Path) -> ssl.SSLContext:
    """One that no authority stands for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(private + made.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


def test_a_certificate_that_is_not_trusted_stops_its_provider_and_says_what_helps(tmp_path: Path) -> None:
    async def asked() -> Answer:
        server = await asyncio.start_server(lambda *_: None, "localhost", 0, ssl=certificate(tmp_path))
        async with server:
            return await ask(f"https://localhost:{server.sockets[0].getsockname()[1]}/v1")

    said = r"the certificate of localhost:\d+ isn't trusted \(self-signed certificate\); .* SSL_CERT_FILE"
    with pytest.raises(CallFailed, match=said) as raised:
        asyncio.run(asked())
    assert (raised.value.outcome, raised.value.stops) == ("unsent", "provider")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with fault_server() as proxy:
        monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        assert asyncio.run(ask("http://model.invalid/v1")).output in {"yes", "no"}
        assert proxy.requests == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "model.invalid"])
def test_what_is_here_or_excepted_is_asked_without_it(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    with fault_server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "other.invalid,.invalid")
        with pytest.raises(CallFailed, match="can't connect") as raised:
            asyncio.run(ask(f"http://{host}:9/v1"))
        assert (raised.value.outcome, proxy.requests) == ("unsent", 0)


def test_a_proxy_is_told_its_own_password_and_not_the_servers_key(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def asked() -> Answer:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:mine@127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
            return await ask("https://model.invalid/v1")

    with pytest.raises(CallFailed, match=r"the proxy opens no way \(HTTP 407\)") as raised:
        asyncio.run(asked())
    assert raised.value.outcome == "unsent"
    assert heard[0].startswith(b"CONNECT model.invalid:443") and b"Basic bWU6bWluZQ==" in heard[0]
    assert KEY.encode() not in heard[0]
