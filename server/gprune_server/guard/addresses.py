"""Network addresses that images may be fetched from: public ones and those of the operator's networks."""

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Prefixes of IPv4 addresses embedded in IPv6 that the standard library does not recognize (RFC 6052, RFC 8215).
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class ForbiddenAddressError(Exception):
    """An address that images must not be fetched from.

    Neither a `ValueError` nor an `OSError`: vLLM and aiohttp convert those to errors of their own.
    """


class AddressRule:
    """Set of permitted addresses: public ones and those of the operator's networks.

    An IPv6 address that embeds IPv4 addresses is public only if those are too.
    """

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    @classmethod
    def parse(cls, networks: str) -> "AddressRule":
        """Parse the operator's networks, in CIDR notation and separated by commas.

        Raises:
            ValueError: an item is not a network.
        """
        return cls(ipaddress.ip_network(name.strip()) for name in networks.split(",") if name.strip())

    def check(self, host: str) -> None:
        """Check that an address is permitted.

        Raises:
            ForbiddenAddressError: it is not.
        """
        address = ipaddress.ip_address(host.partition("%")[0])
        if any(address in network for network in self._networks):
            return
        if not all(map(_public, (address, *_embedded(address)))):
            raise ForbiddenAddressError(f"{address} is not a public address.")


class CheckedResolver(AbstractResolver):
    """Changes against `aiohttp.resolver.ThreadedResolver`: a name with any forbidden address does not resolve.

    aiohttp connects to the addresses that its resolver returns, and so to those checked here.
    """

    def __init__(self, rule: AddressRule, resolver: AbstractResolver | None = None) -> None:
        self._rule = rule
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        resolved = await self._resolver.resolve(host, port, family)
        for each in resolved:
            self._rule.check(each["host"])
        return resolved

    async def close(self) -> None:
        await self._resolver.close()


def is_address(host: str) -> bool:
    """Return whether a host is an address rather than a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _public(address: Address) -> bool:
    return address.is_global and not address.is_multicast


def _embedded(address: Any) -> Iterator[Address]:
    """Yield the IPv4 addresses embedded in an IPv6 address."""
    if address.version == 4:
        return
    yield from (found for found in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if found)
    if any(address in network for network in _TRANSLATED) or int(address) >> 32 == 0:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
