"""Region, endpoint and sender, as doctor judges them."""

from __future__ import annotations

import pytest

from deploy.command.findings import State
from deploy.command.ses_place import place_findings, reply_finding
from runtime.settings import ReplicaSettings

IRELAND = "https://email.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("region", "url", "sender"),
    [
        ("eu-west-1", IRELAND, "mentors@acme.eu"),
        ("us-gov-west-1", "https://email-fips.us-gov-west-1.amazonaws.com", "mentors@acme.eu"),
        ("eu-west-1", "https://email.eu-west-1.api.aws", "mentors@acme.eu"),
        ("eu-west-1", "https://vpce-0a1.email.eu-west-1.amazonaws.com", "mentors@acme.eu"),
    ],
)
def test_a_place_that_fits(region: str, url: str, sender: str) -> None:
    """Region, endpoint and sender that belong together are named, without a warning."""
    (only,) = place_findings(region=region, url=url, sender=sender)

    assert (State.OK, f"region {region}, endpoint {url}, sender {sender}") == (only.state, only.detail)


@pytest.mark.parametrize(
    ("region", "url", "sender", "says"),
    [
        ("eu-west-1", "http://127.0.0.1:8025", "mentors@example.org", "on this machine"),
        ("eu-west-1", "http://localhost:8025", "mentors@acme.eu", "on this machine"),
        ("eu-west-1", "https://ses.acme.eu", "mentors@acme.eu", "is not AWS's"),
        ("eu-west-1", "https://email.eu-west-1.amazonaws.com.evil.eu", "mentors@acme.eu", "is not AWS's"),
        ("us-east-1", IRELAND, "mentors@acme.eu", "is in eu-west-1, and calls are signed for us-east-1"),
        ("eu-west-1", IRELAND, "mentors@mail.example.org", "a domain for examples"),
        ("eu-west-1", IRELAND, "mentors@acme.test", "a domain for examples"),
    ],
)
def test_a_place_that_does_not_fit(region: str, url: str, sender: str, says: str) -> None:
    """One warning names the part that does not fit the others."""
    _, warning = place_findings(region=region, url=url, sender=sender)

    assert State.WARN == warning.state
    assert says in warning.detail


@pytest.mark.parametrize("sender", ["no-reply", "noreply", "No_Reply", "do-not-reply", "donotreply", "not.reply"])
def test_nobody_who_answers(sender: str) -> None:
    """A sender whom nobody reads is warned of, unless replies go elsewhere."""
    address = f"Mentoring <{sender}@acme.eu>"

    assert State.WARN == reply_finding(ReplicaSettings(ses_from_address=address)).state
    assert State.OK == reply_finding(ReplicaSettings(ses_from_address=address, reply_to_coordinator=True)).state
    assert State.OK == reply_finding(ReplicaSettings(ses_from_address=address, ses_reply_to="help@acme.eu")).state


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ses_from_address": "Office <noreplacement@acme.eu>"}, "go to noreplacement@acme.eu"),
        ({"ses_reply_to": "Büro <help@acme.eu>"}, "go to help@acme.eu"),
        (
            {"ses_reply_to": "help@acme.eu", "reply_to_coordinator": True},
            "of mentors go to their coordinators, others go to help@acme.eu",
        ),
    ],
)
def test_somebody_who_answers(settings: dict[str, object], says: str) -> None:
    """Who gets the replies is named."""
    finding = reply_finding(ReplicaSettings(**settings))  # type: ignore[arg-type]  # pydantic checks them

    assert (State.OK, says) == (finding.state, finding.detail)
