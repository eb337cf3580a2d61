"""Where e-mails would go, from whom, and who gets replies: whether the settings make sense together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from deploy.command.findings import Finding, State
from runtime.from_address import parse_named_address
from runtime.settings import ReplicaSettings, env_name

_AWS = re.compile(r"(?:[a-z0-9-]+\.)*email(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
"""Hosts of SES's API: https://docs.aws.amazon.com/general/latest/gr/ses.html"""
_RESERVED = re.compile(r"(?:.*[.@])?(?:example\.(?:com|net|org)|example|test|invalid|localhost)", re.IGNORECASE)
"""Domains that nobody can own, and so not verify: RFC 2606."""
_NO_REPLY = re.compile(r"(?:do[-_.]?)?(?:no|not)[-_.]?reply", re.IGNORECASE)
"""Local parts such as no-reply, noreply, do_not_reply and donotreply."""
_ENDPOINT = "AWS_ENDPOINT_URL_SESV2"


def place_findings(*, region: str, url: str, sender: str) -> Iterator[Finding]:
    """Yield the place that e-mails are sent to, and a warning for each part that does not fit the others."""
    host = urlsplit(url).hostname or ""
    aws = _AWS.fullmatch(host)
    yield Finding("SES place", State.OK, f"region {region}, endpoint {url}, sender {sender}")
    if aws is None:
        kind = "is on this machine" if _is_local(host) else "is not AWS's"
        yield Finding("SES place", State.WARN, f"the endpoint {kind}: AWS gets no e-mail", f"unset {_ENDPOINT} for AWS")
    elif aws[1] != region:
        advice = f"unset {_ENDPOINT}, or set the region of the endpoint"
        yield Finding(
            "SES place", State.WARN, f"the endpoint is in {aws[1]}, and calls are signed for {region}", advice
        )
    if aws is not None and _RESERVED.fullmatch(sender.rpartition("@")[2]):
        advice = f"set {env_name('ses_from_address')} to an address that is verified in SES"
        yield Finding("SES place", State.WARN, f"the sender {sender} is in a domain for examples", advice)


def reply_finding(settings: ReplicaSettings) -> Finding:
    """Return who gets the replies to e-mails, and a warning if nobody does."""
    sender = parse_named_address(settings.ses_from_address).address
    coordinator, all_others = env_name("reply_to_coordinator"), env_name("ses_reply_to")
    to = None if settings.ses_reply_to is None else parse_named_address(settings.ses_reply_to).address
    if to is None and not settings.reply_to_coordinator and _NO_REPLY.fullmatch(sender.partition("@")[0]):
        detail = f"replies go to {sender}, which probably nobody reads"
        return Finding(
            "replies", State.WARN, detail, f"set {all_others} to somebody who answers, or {coordinator}=true"
        )
    mentors = "of mentors go to their coordinators, others " if settings.reply_to_coordinator else ""
    return Finding("replies", State.OK, f"{mentors}go to {to or sender}")


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
