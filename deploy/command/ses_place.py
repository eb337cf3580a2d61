"""Where e-mails would go, and from whom: region, endpoint and sender, and whether they make sense together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from deploy.command.findings import Finding, State
from runtime.settings import env_name

_AWS = re.compile(r"(?:[a-z0-9-]+\.)*email(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
"""Hosts of SES's API: https://docs.aws.amazon.com/general/latest/gr/ses.html"""
_RESERVED = re.compile(r"(?:.*[.@])?(?:example\.(?:com|net|org)|example|test|invalid|localhost)", re.IGNORECASE)
"""Domains that nobody can own, and so not verify: RFC 2606."""
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


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
