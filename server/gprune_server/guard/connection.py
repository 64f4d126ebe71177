"""Connections to the hosts that images are fetched from."""

from functools import lru_cache
from typing import Any

import aiohttp
from vllm.connections import HTTPConnection

from gprune_server.guard.addresses import AddressRule, CheckedResolver
from gprune_server.guard.image_error import ImageError


class GuardedConnection(HTTPConnection):
    """Changes against `vllm.connections.HTTPConnection` (vLLM 0.32): connects only to addresses that a rule permits,
    uses no proxies, which would resolve names themselves, and refuses redirects."""

    def __init__(self, rule: AddressRule) -> None:
        super().__init__()
        self._rule = rule
        self._async_client: aiohttp.ClientSession | None = None

    async def get_async_client(self) -> aiohttp.ClientSession:
        if self._async_client is None or self._async_client.closed:
            connector = aiohttp.TCPConnector(resolver=CheckedResolver(self._rule), use_dns_cache=False)
            self._async_client = aiohttp.ClientSession(connector=connector, raise_for_status=refuse_redirect)
        return self._async_client

    async def get_async_response(self, url: str, **options: Any) -> Any:
        return await super().get_async_response(url, **{**options, "allow_redirects": False})


async def refuse_redirect(response: aiohttp.ClientResponse) -> None:
    """Refuse responses that redirect, for aiohttp's `raise_for_status`.

    Raises:
        ImageError: the response redirects.
        aiohttp.ClientResponseError: the response is an error.
    """
    if 300 <= response.status < 400:
        raise ImageError("The URL redirects. Send the URL that it redirects to.")
    response.raise_for_status()


@lru_cache
def address_rule(networks: str) -> AddressRule:
    """Return the rule for the operator's networks, parsed once."""
    return AddressRule.parse(networks)


@lru_cache
def shared_connection(networks: str) -> GuardedConnection:
    """Return this process's connection pool. vLLM creates a connector per request."""
    return GuardedConnection(address_rule(networks))
