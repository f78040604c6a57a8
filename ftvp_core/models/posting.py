"""One request over aiohttp and all that can become of it: an answer's bytes, or CallFailed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from ftvp_core.errors import CallFailed
from ftvp_core.models.chat import refused, told

#: What a status, its Retry-After, its body and the key that was sent mean.
Refusal = Callable[[int, str | None, str, str | None], CallFailed]

#: A larger body is no answer that anyone asked for: it is read no further, whatever it was packed to.
MOST_BYTES = 2**26
#: Of a refusal's body, and the seconds that it may take: its status has said what it means.
REFUSAL_BYTES, REFUSAL_S = 2**16, 1.0
MOVED = {301, 302, 303, 307, 308}
#: Seconds for a connection, at most half of an attempt's: until it stands nothing was sent, and nothing can be billed.
CONNECT_S = 10.0


def session(base_url: str) -> aiohttp.ClientSession:
    """For one server. Make it inside a running event loop, close it there.

    It holds no key: aiohttp tells a session's headers to the proxy too.
    """
    return aiohttp.ClientSession(
        proxy=_proxy(base_url),
        connector=aiohttp.TCPConnector(limit=0),  # the runner limits what is in flight
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # the deadline is an attempt's
    )


@cache
def _connecting(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=min(CONNECT_S, timeout_s / 2))


def _proxy(base_url: str) -> str | None:
    """As curl and the openai client choose it (HTTPS_PROXY, NO_PROXY, …); a server on this machine needs none.

    aiohttp's own way looks through the environment for each request, and takes keys from `.netrc`.
    """
    server = urlsplit(base_url)
    if _is_here(server.hostname or "") or proxy_bypass(server.netloc.rpartition("@")[2]):
        return None
    known = getproxies()
    proxy = known.get(server.scheme) or known.get("all") or ""
    proxy = proxy if not proxy or "://" in proxy else f"http://{proxy}"
    return proxy if proxy.startswith(("http://", "https://")) else None  # aiohttp speaks no SOCKS


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def posted(
    client: aiohttp.ClientSession,
    url: str,
    body: bytes,
    timeout_s: float,
    api_key: str | None,
    refusal: Refusal = refused,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """A response of status 200, to be read inside. Raises CallFailed, which says whether the server may have billed.

    `refusal` makes it of another status.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=_connecting(timeout_s)
            ) as response,
        ):
            if response.status in MOVED:  # not followed: neither the key nor the data is another server's
                raise CallFailed(_moved(response), outcome="refused", stops="provider", status=response.status)
            if response.status != 200:
                text = await _beginning(response)
                raise refusal(response.status, response.headers.get("Retry-After"), text, api_key)
            yield response
    except aiohttp.ConnectionTimeoutError:
        raise CallFailed(f"can't connect to {urlsplit(url).netloc} in time", outcome="unsent", retry=True) from None
    except TimeoutError:
        raise CallFailed(
            f"no answer within {timeout_s:g} s", outcome="unknown", retry=True, latency_s=timeout_s
        ) from None
    except aiohttp.ClientConnectorCertificateError as error:  # a row after it would fare no better
        said = f"the certificate of {error.host}:{error.port} isn't trusted ({_verdict(error)})"
        cause = f"{said}; name its authority's file in SSL_CERT_FILE"
        raise CallFailed(cause, outcome="unsent", stops="provider") from None
    except aiohttp.ClientConnectorError as error:
        raise CallFailed(f"can't connect to {error.host}:{error.port}", outcome="unsent", retry=True) from None
    except UnicodeDecodeError:
        raise CallFailed("the stream isn't UTF-8", outcome="unknown", retry=True) from None
    except aiohttp.ClientHttpProxyError as error:
        raise CallFailed(f"the proxy opens no way (HTTP {error.status})", outcome="unsent", retry=True) from None
    except (aiohttp.ClientError, OSError) as error:
        raise CallFailed(f"connection lost ({type(error).__name__})", outcome="unknown", retry=True) from None


def _verdict(error: aiohttp.ClientConnectorCertificateError) -> str:
    return getattr(error.certificate_error, "verify_message", type(error.certificate_error).__name__)


def _moved(response: aiohttp.ClientResponse) -> str:
    place = urlsplit(told(response.headers.get("Location", ""), None))
    whither = f" to {place.scheme}://{place.hostname}{place.path}" if place.hostname else ""
    return f"HTTP {response.status}: its server redirects{whither}; set base_url to where it is"


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises CallFailed where it is larger than any answer."""
    return b"".join([part async for part in parts_of(response)])


async def parts_of(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes. Raises CallFailed where it is larger than any answer."""
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MOST_BYTES:  # not tried again: it would be billed again
            raise CallFailed(f"the answer is larger than {MOST_BYTES:,} bytes", outcome="unknown")
        yield part


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """What a refusal says, as far as it comes."""
    said = b""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(REFUSAL_S):
            async for part in response.content.iter_any():
                said += part
                if len(said) > REFUSAL_BYTES:
                    break
    return said.decode(errors="replace")
