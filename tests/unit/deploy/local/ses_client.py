"""Use a local SES from a test: send with boto3, read mails and set faults over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    import httpx
    from mypy_boto3_sesv2 import SESV2Client

DISPATCH_ID = "0123456789abcdef0123456789abcdef"


class LocalSesClient:
    """A client of one local SES."""

    def __init__(self, address: str, ses: SESV2Client, http: httpx.Client) -> None:
        self.address = address
        self.ses = ses
        self.http = http

    def reset(self) -> None:
        """Remove all faults and mails."""
        for path in ("/admin/faults", "/admin/mails", "/admin/stats"):
            self.http.delete(path).raise_for_status()

    def send(self, **changes: Any) -> str:
        """Send an e-mail with changed arguments, and return its message id."""
        return self.ses.send_email(**email(**changes))["MessageId"]

    def set_faults(self, **faults: Any) -> None:
        """Set these faults."""
        self.http.patch("/admin/faults", json=faults).raise_for_status()

    def mail(self, message_id: str) -> dict[str, Any]:
        """Return an accepted mail in full."""
        return dict(self.http.get(f"/admin/mails/{message_id}").raise_for_status().json())

    def mails(self, **query: Any) -> list[dict[str, Any]]:
        """Return the matching mails, newest first."""
        return list(self.http.get("/admin/mails", params=query).raise_for_status().json()["mails"])

    def stats(self) -> dict[str, Any]:
        """Return the counters."""
        return dict(self.http.get("/admin/stats").raise_for_status().json())


def email(*, subject: str = "Your pause has begun", **changes: Any) -> Any:
    """Return the arguments of SendEmail as the replica sends them."""
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
    """Return a boto3 client with a single attempt per call, as in the replica."""
    return boto3.client(
        "sesv2",
        endpoint_url=address,
        region_name="eu-central-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - it is not checked
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=2, connect_timeout=5),
    )
