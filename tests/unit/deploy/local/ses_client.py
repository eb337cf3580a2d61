"""What a test does to a local SES: send as boto3 does, look and meddle as curl does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    import httpx
    from mypy_boto3_sesv2 import SESV2Client

DISPATCH_ID = "0123456789abcdef0123456789abcdef"


class LocalSesClient:
    """One local SES, seen from outside."""

    def __init__(self, address: str, ses: SESV2Client, http: httpx.Client) -> None:
        self.address = address
        self.ses = ses
        self.http = http

    def reset(self) -> None:
        """Make it well and empty."""
        for path in ("/admin/faults", "/admin/mails", "/admin/stats"):
            self.http.delete(path).raise_for_status()

    def send(self, **changes: Any) -> str:
        """Send an e-mail, its arguments changed at will, and give its message id."""
        return self.ses.send_email(**email(**changes))["MessageId"]

    def set_faults(self, **faults: Any) -> None:
        """Change those faults."""
        self.http.patch("/admin/faults", json=faults).raise_for_status()

    def mail(self, message_id: str) -> dict[str, Any]:
        """Return an accepted mail in full."""
        return dict(self.http.get(f"/admin/mails/{message_id}").raise_for_status().json())

    def mails(self, **query: Any) -> list[dict[str, Any]]:
        """Return the accepted mails that fit, newest first."""
        return list(self.http.get("/admin/mails", params=query).raise_for_status().json()["mails"])

    def stats(self) -> dict[str, Any]:
        """Return the counters."""
        return dict(self.http.get("/admin/stats").raise_for_status().json())


def email(*, subject: str = "Your pause has begun", **changes: Any) -> Any:
    """Make SendEmail's arguments as the replica does."""
    utf8 = {"Charset": "UTF-8"}
    simple = {
        "Subject": {"Data": subject, **utf8},
        "Body": {"Text": {"Data": "Hello Ada", **utf8}, "Html": {"Data": "<p>Hello Ada</p>", **utf8}},
        "Headers": changes.pop("headers", []),
    }
    return {
        "FromEmailAddress": "Mentoring <notices@example.com>",
        "Destination": {"ToAddresses": [changes.pop("to", "mentor-042@example.com")]},
        "Content": {"Simple": simple},
        "EmailTags": [{"Name": "dispatch_id", "Value": DISPATCH_ID}],
        **changes,
    }


def boto3_client(address: str) -> SESV2Client:
    """Build boto3's client with a single attempt a call, as the replica does."""
    return boto3.client(
        "sesv2",
        endpoint_url=address,
        region_name="eu-central-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - nobody checks it
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=0.4, connect_timeout=5),
    )
