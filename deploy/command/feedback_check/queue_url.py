"""Where a queue is, by its URL, and whether requests from here reach it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from deploy.command.findings import Finding, State
from runtime.settings import env_name

CHECK = "feedback queue"

_DOMAIN = r"(?:amazonaws\.[a-z]{2,3}(?:\.[a-z]{2})?|api\.aws|api\.amazonwebservices\.com\.cn)"
_AT_AWS = re.compile(rf"(?:.+\.)?{_DOMAIN}")
_WITH_REGION = re.compile(rf"sqs(?:-fips)?\.([a-z0-9-]+)\.{_DOMAIN}|([a-z0-9-]+)\.queue\.{_DOMAIN}")
_FIRST_REGION = re.compile(rf"queue\.{_DOMAIN}")


def host_of(url: str) -> str:
    """Return host and port of a URL, in lower case."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def is_at_aws(url: str) -> bool:
    """Return whether a URL leads to AWS itself."""
    return _AT_AWS.fullmatch(host_of(url).partition(":")[0]) is not None


def region_of(url: str) -> str | None:
    """Return the region of a queue at AWS, or None if its URL does not name one."""
    host = host_of(url).partition(":")[0]
    if found := _WITH_REGION.fullmatch(host):
        return found[1] or found[2]
    return "us-east-1" if _FIRST_REGION.fullmatch(host) else None


def name_of(url: str) -> str:
    """Return the name of a queue."""
    return url.rpartition("/")[2]


def beside(url: str, arn: str) -> str:
    """Return the URL of the queue with this ARN, which is in the same account and region as the queue of *url*."""
    return f"{url.rpartition('/')[0]}/{arn.rpartition(':')[2]}"


def place_finding(url: str, *, endpoint: str, region: str) -> Finding:
    """Return whether requests to SQS from here, at *endpoint* of *region*, reach the queue."""
    setting, there = env_name("ses_events_queue_url"), region_of(url)
    if is_at_aws(endpoint) and not is_at_aws(url):
        detail = f"{setting} is a queue at {host_of(url)}, but requests go to AWS ({host_of(endpoint)})"
        parts = urlsplit(url)
        return Finding(CHECK, State.FAIL, detail, f"set AWS_ENDPOINT_URL_SQS={parts.scheme}://{host_of(url)}")
    if is_at_aws(url) and not is_at_aws(endpoint):
        detail = f"{setting} is a queue at AWS, but requests go to {host_of(endpoint)}"
        return Finding(CHECK, State.WARN, detail, "unset AWS_ENDPOINT_URL_SQS, unless that is your way to SQS")
    if there is not None and there != region:
        detail = f"{setting} is a queue in {there}, but requests go to {region}: SQS does not find it there"
        advice = f"set AWS_DEFAULT_REGION={there}, if SES is there, too; else make the queue in {region}"
        return Finding(CHECK, State.FAIL, detail, advice)
    return Finding(CHECK, State.OK, f"{name_of(url)} in {there or host_of(url)}, where requests go; not asked")
