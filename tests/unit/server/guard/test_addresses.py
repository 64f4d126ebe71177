"""Addresses that images are fetched from: public ones, whatever they are dressed up as."""

import asyncio
import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from gprune_server.guard.addresses import AddressRule, CheckedResolver, ForbiddenAddressError

FORBIDDEN = {
    "loopback": ["127.0.0.1", "127.8.8.8", "::1"],
    "unspecified": ["0.0.0.0", "::"],
    "private": ["10.1.2.3", "172.16.0.1", "192.168.1.1", "fd00::1"],
    "shared": ["100.64.0.1"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0"],
    "metadata": ["169.254.169.254", "fd00:ec2::254"],
    "multicast": ["224.0.0.1", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "2001:db8::1"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"],
    "translated": ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:a9fe:a9fe::"],
}
PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


class StubResolver(AbstractResolver):
    """Resolves every name to the given addresses, and counts how often it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", [address for addresses in FORBIDDEN.values() for address in addresses])
def test_address_is_forbidden(address: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        AddressRule().check(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_address_is_public(address: str) -> None:
    AddressRule().check(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_treated_alike_however_it_is_written(address: ipaddress.IPv4Address) -> None:
    spellings = [str(address), f"::ffff:{address}", f"64:ff9b::{address}"]
    assert len({permitted(AddressRule(), spelling) for spelling in spellings}) == 1


@given(st.ip_addresses(network="10.0.0.0/8"))
def test_the_operators_networks_are_permitted(address: ipaddress.IPv4Address) -> None:
    assert permitted(AddressRule.parse("192.168.0.0/16, 10.0.0.0/8"), str(address))
    assert not permitted(AddressRule.parse("192.168.0.0/16"), str(address))


def permitted(rule: AddressRule, address: str) -> bool:
    try:
        rule.check(address)
    except ForbiddenAddressError:
        return False
    return True


def test_a_network_must_be_one() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        AddressRule.parse("example.com")


def test_a_name_resolves_to_what_was_checked() -> None:
    resolver = CheckedResolver(AddressRule(), StubResolver("8.8.8.8", "2606:4700::1111"))
    resolved = asyncio.run(resolver.resolve("example.com", 443))
    assert [each["host"] for each in resolved] == ["8.8.8.8", "2606:4700::1111"]


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["169.254.169.254", "8.8.8.8"]])
def test_a_name_with_any_forbidden_address_does_not_resolve(addresses: list[str]) -> None:
    resolver = CheckedResolver(AddressRule(), StubResolver(*addresses))
    with pytest.raises(ForbiddenAddressError):
        asyncio.run(resolver.resolve("example.com", 443))
