"""Telling callers apart by their addresses."""

from __future__ import annotations

import pytest

from service.client_address import client_of


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_client(host: str | None, expected: str) -> None:
    """A client is its IPv4 address, however the socket writes it, or the /64 network of its IPv6 address."""
    assert expected == client_of(host)
