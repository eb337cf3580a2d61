"""The client address: it tells callers without a key apart, and failures are counted by it."""

from __future__ import annotations

import ipaddress

UNKNOWN_CLIENT = "unknown"

_IPV6_NETWORK_BITS = 64
"""One subscriber has at least such a network, and may use any address in it."""


def client_of(host: str | None) -> str:
    """Return the IPv4 address of a client, or the network of its IPv6 address; `unknown` if it has neither."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return UNKNOWN_CLIENT
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:  # an IPv4 client of a socket that accepts both
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _IPV6_NETWORK_BITS), strict=False))
