"""Who may get e-mail in an environment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.allowed_recipients import MAX_ALLOWED, AllowedRecipients

LABELS = st.text("abcxyz", min_size=1, max_size=8)
DOMAINS = st.builds("{}.{}".format, LABELS, LABELS)


@pytest.mark.parametrize(
    ("allowed", "address"),
    [
        ("acme.eu", "mentor@acme.eu"),
        ("acme.eu, other.eu", "mentor@OTHER.eu"),
        ("bücher.example", "mentor@xn--bcher-kva.example"),
        ("Amara@acme.eu", "amara@acme.eu"),
    ],
)
def test_allowed(allowed: str, address: str) -> None:
    """A domain allows its addresses, an address itself; case and script do not count."""
    assert address in AllowedRecipients(allowed)


@pytest.mark.parametrize(
    ("allowed", "address"),
    [
        ("acme.eu", "mentor@mail.acme.eu"),
        ("acme.eu", "mentor@notacme.eu"),
        ("acme.eu", '"x@acme.eu"@evil.eu'),
        ("amara@acme.eu", "other@acme.eu"),
        ("acme.eu", ""),
    ],
)
def test_not_allowed(allowed: str, address: str) -> None:
    """Subdomains, similar domains, and other people of an allowed address are not allowed."""
    assert address not in AllowedRecipients(allowed)


@pytest.mark.parametrize("text", ["", "acme.eu,", "a@b@c", "two words", ",".join(["a.eu"] * (MAX_ALLOWED + 1))])
def test_a_wrong_list_is_refused(text: str) -> None:
    """An entry that is neither an address nor a domain is an error, and so are too many."""
    with pytest.raises(ValueError, match="must"):
        AllowedRecipients(text)


@given(st.lists(DOMAINS, min_size=1, max_size=5), DOMAINS)
def test_a_domain_is_allowed_only_if_it_is_listed(listed: list[str], domain: str) -> None:
    """Whatever the list is, it allows the domains that are in it."""
    assert (domain in listed) == (f"mentor@{domain}" in AllowedRecipients(",".join(listed)))
