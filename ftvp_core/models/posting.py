"""One request over aiohttp and all that can become of it: an answer's bytes, or CallFailed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from ftvp_core.errors import CallFailed
from ftvp_core.models.chat import refused

#: What a status, its Retry-After, its body and the key that was sent mean.
Refusal = Callable[[int, str | None, str, str | None], CallFailed]


def session(api_key: str | None) -> aiohttp.ClientSession:
    """For one server. Make it inside a running event loop, close it there."""
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
        connector=aiohttp.TCPConnector(limit=0),  # the runner limits what is in flight
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # the deadline is an attempt's
    )


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
    headers = {"Content-Type": "application/json"}
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            if response.status != 200:
                text = (await response.content.read(4096)).decode(errors="replace")
                raise refusal(response.status, response.headers.get("Retry-After"), text, api_key)
            yield response
    except TimeoutError:
        raise CallFailed(
            f"no answer within {timeout_s:g} s", outcome="unknown", retry=True, latency_s=timeout_s
        ) from None
    except aiohttp.ClientConnectorError as error:
        raise CallFailed(f"can't connect to {error.host}:{error.port}", outcome="unsent", retry=True) from None
    except UnicodeDecodeError:
        raise CallFailed("the stream isn't UTF-8", outcome="unknown", retry=True) from None
    except (aiohttp.ClientError, OSError) as error:
        raise CallFailed(f"connection lost ({type(error).__name__})", outcome="unknown", retry=True) from None
