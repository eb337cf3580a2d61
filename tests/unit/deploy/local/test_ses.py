"""The local SES with boto3: stored mails, limits, account and identities."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.unit.deploy.local.ses_client import LocalSesClient

MESSAGE_ID = re.compile(r"0100[0-9a-f]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-000000")


def _tags(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    """Return tags in the format of the API."""
    return [{"Name": name, "Value": value} for name, value in pairs]


class TestSendEmail:
    """SendEmail with Simple content."""

    def test_keeps_what_was_sent(self, local_ses: LocalSesClient) -> None:
        """An accepted mail has the sent addresses, content, headers and tags."""
        message_id = local_ses.send(
            ReplyToAddresses=["office@example.com"],
            ConfigurationSetName="notices",
            headers=[{"Name": "Auto-Submitted", "Value": "auto-generated"}],
            EmailTags=_tags(("dispatch_id", "00ff"), ("recipient", "mentor-042")),
        )

        mail = local_ses.mail(message_id)

        assert mail.pop("accepted_at").endswith("Z")
        assert [{"name": "Mentoring", "address": "notices@example.com"}] == mail.pop("people")["from"]
        assert {
            "message_id": message_id,
            "from": "Mentoring <notices@example.com>",
            "reply_to": ["office@example.com"],
            "to": ["mentor-042@example.com"],
            "cc": [],
            "bcc": [],
            "subject": "Your pause has begun",
            "text": "Hello Ada",
            "html": "<p>Hello Ada</p>",
            "headers": [{"name": "Auto-Submitted", "value": "auto-generated"}],
            "tags": {"dispatch_id": "00ff", "recipient": "mentor-042"},
            "configuration_set": "notices",
            "charset_doubts": [],
            "answer": "normal",
            "answer_lost": False,
            "state": "accepted",
            "read": False,
            "reports": [],
        } == mail

    def test_message_ids_look_like_those_of_ses(self, local_ses: LocalSesClient) -> None:
        """Ids have 60 characters, as in SES, and differ."""
        ids = [local_ses.send() for _ in range(20)]

        assert [60] * 20 == [len(each) for each in ids]
        assert all(MESSAGE_ID.fullmatch(each) for each in ids)
        assert 20 == len(set(ids))

    def test_non_ascii_without_charset_is_recorded(self, local_ses: LocalSesClient) -> None:
        """A part without a charset, which SES would garble, is accepted and marked."""
        content = {"Simple": {"Subject": {"Data": "Grüße"}, "Body": {"Text": {"Data": "ä", "Charset": "utf-8"}}}}

        message_id = local_ses.send(Content=content)

        assert ["subject"] == local_ses.mail(message_id)["charset_doubts"]

    @pytest.mark.parametrize("to", ["a..b.@example.com", '"a b"@example.com', '"a@b"@example.com', "a@b_c.example"])
    def test_an_unusual_address_is_an_address(self, local_ses: LocalSesClient, to: str) -> None:
        """Consecutive dots and quoted parts are valid."""
        assert [to] == local_ses.mail(local_ses.send(to=to))["to"]

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"Destination": {}}, id="no recipient"),
            pytest.param({"Destination": {"ToAddresses": ["a@b.org"] * 51}}, id="51 recipients"),
            pytest.param({"to": "no at sign"}, id="address without @"),
            pytest.param({"to": "a b@example.com"}, id="space in the local part"),
            pytest.param({"to": "a@exam ple.com"}, id="space in the domain"),
            pytest.param({"to": "a@example.com\r\nBcc: b@example.com"}, id="line break in an address"),
            pytest.param({"to": "jörg@example.com"}, id="address not ASCII"),
            pytest.param({"FromEmailAddress": "Jörg <a@example.com>"}, id="name not encoded"),
            pytest.param({"ReplyToAddresses": ["office"]}, id="reply-to without @"),
            pytest.param({"subject": "Hello\r\nBcc: b@example.com"}, id="line break in the subject"),
            pytest.param({"headers": [{"Name": "X:Y", "Value": "v"}]}, id="colon in a header name"),
            pytest.param({"headers": [{"Name": "Message-Id", "Value": "<a@b>"}]}, id="header that SES sets"),
            pytest.param({"headers": [{"Name": "reply-to", "Value": "a@b.org"}]}, id="header with a field of its own"),
            pytest.param({"headers": [{"Name": n, "Value": "v"} for n in ("X-A", "x-a")]}, id="header twice"),
            pytest.param({"headers": [{"Name": "X" * 127, "Value": "v"}]}, id="long header name"),
            pytest.param({"headers": [{"Name": "X", "Value": "v" * 996}]}, id="long header value"),
            pytest.param({"headers": [{"Name": "X" * 100, "Value": "v" * 900}]}, id="long header"),
            pytest.param({"headers": [{"Name": "X", "Value": "ü"}]}, id="header value not ASCII"),
            pytest.param({"headers": [{"Name": f"X{n}", "Value": "v"} for n in range(16)]}, id="16 headers"),
            pytest.param({"EmailTags": _tags(("to", "a@b.org"))}, id="@ in a tag"),
            pytest.param({"EmailTags": _tags(("to", "a" * 257))}, id="long tag value"),
            pytest.param({"EmailTags": _tags(("to", ""))}, id="empty tag value"),
            pytest.param({"EmailTags": _tags(("to", "a"), ("to", "b"))}, id="tag named twice"),
            pytest.param({"EmailTags": _tags(*((f"t{n}", "v") for n in range(51)))}, id="51 tags"),
            pytest.param({"Content": {"Raw": {"Data": b"From: a@b.org"}}}, id="raw content"),
        ],
    )
    def test_refuses_what_ses_would(self, local_ses: LocalSesClient, changes: dict[str, Any]) -> None:
        """A request beyond SES's limits is a BadRequestException, and nothing is accepted."""
        with pytest.raises(local_ses.ses.exceptions.BadRequestException):
            local_ses.send(**changes)

        assert [] == local_ses.mails()

    def test_accepts_requests_at_the_limits(self, local_ses: LocalSesClient) -> None:
        """50 recipients, 15 headers, 50 tags and the longest of each are accepted."""
        message_id = local_ses.send(
            Destination={"ToAddresses": [f"a{n}@b.org" for n in range(48)], "CcAddresses": ["c@d.org", "N <e@f.org>"]},
            headers=[{"Name": "X", "Value": "v" * 995}] + [{"Name": f"X{n}", "Value": "v"} for n in range(14)],
            EmailTags=_tags(*((f"t{n}", "v" * 256) for n in range(50))),
        )

        mail = local_ses.mail(message_id)

        assert [48, 2, 15, 50] == [len(mail[part]) for part in ("to", "cc", "headers", "tags")]

    def test_refuses_a_message_over_40_megabytes(self, local_ses: LocalSesClient) -> None:
        """A message that is too large gets an answer, and the connection is not dropped."""
        content = {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "x" * (40 * 1024 * 1024 + 1)}}}}
        body = json.dumps(
            {"FromEmailAddress": "a@b.org", "Destination": {"ToAddresses": ["c@d.org"]}, "Content": content}
        )

        answer = local_ses.http.post("/v2/email/outbound-emails", content=body)

        assert (400, "BadRequestException") == (answer.status_code, answer.headers["x-amzn-errortype"])
        assert "Message length is more than 41943040 bytes" in answer.json()["message"]

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Content": 3}', b"[" * 100_000])
    def test_refuses_invalid_requests(self, local_ses: LocalSesClient, body: bytes) -> None:
        """Bytes that no AWS client sends cause a SerializationException, not a crash."""
        answer = local_ses.http.post("/v2/email/outbound-emails", content=body)

        assert (400, "SerializationException") == (answer.status_code, answer.headers["x-amzn-errortype"])


class TestAccountAndIdentities:
    """Other calls of boto3."""

    def test_describes_a_healthy_account(self, local_ses: LocalSesClient) -> None:
        """GetAccount returns the quotas, the number of sends, and a healthy account."""
        local_ses.send()

        account = local_ses.ses.get_account()

        assert {"Max24HourSend": 1_000_000.0, "MaxSendRate": 500.0, "SentLast24Hours": 1.0} == account["SendQuota"]
        assert (True, True, "HEALTHY") == (
            account["SendingEnabled"],
            account["ProductionAccessEnabled"],
            account["EnforcementStatus"],
        )

    def test_identities_are_verified_by_default(self, local_ses: LocalSesClient) -> None:
        """GetEmailIdentity knows all identities except the unverified ones and addresses in their domains."""
        local_ses.set_faults(unverified_senders=["Example.org"])

        identity = local_ses.ses.get_email_identity(EmailIdentity="notices@example.com")

        assert (True, "EMAIL_ADDRESS") == (identity["VerifiedForSendingStatus"], identity["IdentityType"])
        with pytest.raises(local_ses.ses.exceptions.NotFoundException, match=r"notices@example\.org"):
            local_ses.ses.get_email_identity(EmailIdentity="notices@example.org")

    def test_other_operations_are_unknown(self, local_ses: LocalSesClient) -> None:
        """An unsupported operation is an UnknownOperationException."""
        with pytest.raises(ClientError) as caught:
            local_ses.ses.list_email_identities()

        assert "UnknownOperationException" == caught.value.response["Error"]["Code"]
