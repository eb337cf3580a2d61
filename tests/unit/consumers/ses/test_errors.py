"""The meaning of errors of botocore and aiohttp."""

from __future__ import annotations

from typing import Any

import aiohttp
import boto3
import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from consumers.email import AnswerLost, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from consumers.ses.errors import TABLE, email_error
from deploy.local.ses.errors import ERRORS, UNKNOWN
from schemas.dispatch import Reason

SENDER = "notices@example.com"
NOT_VERIFIED = "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: "
ARN = "arn:aws:ses:eu-central-1:123456789012:identity/"
ROLE = "arn:aws:sts::123456789012:assumed-role/replica/other.org"
SES_SAYS = f"User `{ROLE}' is not authorized to perform `ses:SendEmail' on resource `%s'"
IAM_SAYS = f"User: {ROLE} is not authorized to perform: ses:SendEmail on resource: %s"
DENIED_RECIPIENTS = [
    # texts of SES itself, in the sandbox and for policies that name identities
    SES_SAYS % f"{ARN}mentor-042@other.org",
    SES_SAYS % f"{ARN}other.org",
    SES_SAYS % f"{ARN}Mentor-042@Example.com",
    SES_SAYS % "arn:aws-us-gov:ses:us-gov-west-1:1:identity/mentor-042@other.org",
    # texts of IAM for any service
    IAM_SAYS % f"{ARN}mentor-042@other.org because no identity-based policy allows the ses:SendEmail action",
    IAM_SAYS % f"{ARN}other.org with an explicit deny in a service control policy",
]
DENIED_TO_US = [
    SES_SAYS % f"{ARN}notices@example.com",
    SES_SAYS % f"{ARN}example.com",
    SES_SAYS % "arn:aws:ses:eu-central-1:123456789012:configuration-set/notices",
    IAM_SAYS % f"{ARN}Example.com with an explicit deny in an identity-based policy",
    IAM_SAYS % f"{ARN}*",
    IAM_SAYS % f"{ARN}mentor-042@other.org, {ARN}example.com",
    f"User: {ROLE} is not authorized to perform: ses:SendEmail because no identity-based policy allows the action",
    "User is not authorized to perform: ses:SendEmail",
    "Access denied",
    "",
]


def _answer(code: str, text: str = "", *, status: int = 400, operation: str = "SendEmail") -> ClientError:
    """Return the error that boto3 raises for a response."""
    response: Any = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "r-1"},
    }
    return ClientError(response, operation)


def _halt(error: EmailError) -> HaltReason:
    """Return the reason of an error that must be a halt."""
    assert isinstance(error, Halted)
    return error.halt


class TestTable:
    """No error of SES, botocore or aiohttp is missing."""

    @pytest.mark.parametrize("operation", ["SendEmail", "GetAccount", "GetEmailIdentity"])
    def test_every_modelled_error_is_in_it(self, operation: str) -> None:
        """Every error in the model of an operation that we call has a meaning."""
        client = boto3.Session(region_name="eu-central-1").client("sesv2")
        shapes = client.meta.service_model.operation_model(operation).error_shapes
        client.close()

        assert [] == [shape.name for shape in shapes if shape.name not in TABLE]

    def test_every_error_of_the_local_ses_is_in_it(self) -> None:
        """Every error of the local SES has a meaning, but for the one that stands for those to come."""
        assert [UNKNOWN] == [name for name in ERRORS if name not in TABLE]

    def test_every_network_error_of_botocore_is_in_it(self) -> None:
        """Every connection error of botocore has a meaning, by itself or by its base."""
        kinds = [
            kind for kind in vars(boto).values() if isinstance(kind, type) and issubclass(kind, boto.BotoCoreError)
        ]
        network = [kind for kind in kinds if issubclass(kind, (boto.HTTPClientError, boto.ConnectionError))]

        assert network
        assert [] == [kind for kind in network if not any(base in TABLE for base in kind.__mro__)]

    def test_every_error_of_aiohttp_is_in_it(self) -> None:
        """Every error of aiohttp's client has a meaning, by itself or by its base."""
        kinds = [
            kind
            for kind in vars(aiohttp).values()
            if isinstance(kind, type) and issubclass(kind, aiohttp.ClientError | OSError)
        ]

        assert kinds
        assert [] == [kind for kind in kinds if not any(base in TABLE for base in kind.__mro__)]

    def test_an_error_before_the_connection_is_open_is_not_sent(self) -> None:
        """Errors that aiohttp raises only before a request leaves are no lost answers, whatever their base is."""
        kinds: list[type[aiohttp.ClientError]] = [
            aiohttp.ClientConnectorDNSError,
            aiohttp.ClientConnectorSSLError,
            aiohttp.ClientConnectorCertificateError,
            aiohttp.ClientProxyConnectionError,
            aiohttp.ClientHttpProxyError,
            aiohttp.ConnectionTimeoutError,
        ]

        for kind in kinds:
            error = email_error(kind.__new__(kind), sender=SENDER)
            assert isinstance(error, NotSent)
            assert error.unreachable


class TestTexts:
    """Texts of SES, for codes that say too little."""

    @pytest.mark.parametrize("code", ["TooManyRequestsException", "ThrottlingException", "LimitExceededException"])
    def test_the_daily_quota_halts(self, code: str) -> None:
        """A used daily quota halts; only the rate throttles."""
        error = email_error(_answer(code, "Daily message quota exceeded."), sender=SENDER)

        assert HaltReason.DAILY_QUOTA == _halt(error)

    @pytest.mark.parametrize("code", ["TooManyRequestsException", "ThrottlingException", "Throttling"])
    def test_the_rate_throttles(self, code: str) -> None:
        """Too many sends a second throttle, under any name."""
        assert isinstance(email_error(_answer(code, "Maximum sending rate exceeded."), sender=SENDER), Throttled)

    @pytest.mark.parametrize(
        "identities",
        [
            "notices@example.com",
            "Notices@Example.com",
            "mentor-042@other.org, notices@example.com",
            '"Büro, Mentoring" <notices@example.com>',
            "example.com",
            "arn:aws:ses:eu-central-1:123456789012:identity/notices@example.com",
            "arn:aws:ses:eu-central-1:123456789012:identity/example.com",
        ],
    )
    def test_an_unverified_sender_halts(self, identities: str) -> None:
        """If our address or domain is among the failed identities, all mail stops."""
        error = email_error(_answer("MessageRejected", NOT_VERIFIED + identities), sender=SENDER)

        assert HaltReason.SENDER_NOT_VERIFIED == _halt(error)

    def test_the_domain_above_the_senders_halts(self) -> None:
        """A verified domain covers its subdomains, and so does an unverified one."""
        error = email_error(_answer("MessageRejected", NOT_VERIFIED + "example.com"), sender="notices@mail.example.com")

        assert HaltReason.SENDER_NOT_VERIFIED == _halt(error)

    @pytest.mark.parametrize(
        "identities", ["mentor-042@other.org", "Ada <mentor-042@example.com>", "xnotices@example.com", "ample.com"]
    )
    def test_an_unverified_recipient_is_refused(self, identities: str) -> None:
        """Other failed identities, even of our own domain, are recipients in the sandbox."""
        error = email_error(_answer("MessageRejected", NOT_VERIFIED + identities), sender=SENDER)

        assert isinstance(error, Refused)
        assert Reason.RECIPIENT_NOT_VERIFIED == error.reason

    def test_an_unverified_identity_without_a_name_halts(self) -> None:
        """If SES names no identity, no recipient is refused."""
        error = email_error(_answer("MessageRejected", "Email address is not verified."), sender=SENDER)

        assert HaltReason.SENDER_NOT_VERIFIED == _halt(error)

    @pytest.mark.parametrize("text", DENIED_RECIPIENTS)
    @pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
    def test_a_missing_permission_for_one_recipient_refuses_that_one(self, code: str, text: str) -> None:
        """If the recipient's identity is in the account, as in the sandbox, IAM asks for a permission on it."""
        error = email_error(_answer(code, text, status=403), sender=SENDER)

        assert isinstance(error, Refused)
        assert Reason.RECIPIENT_NOT_ALLOWED == error.reason
        assert "other.org" not in str(error)

    @pytest.mark.parametrize("text", DENIED_TO_US)
    @pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
    def test_a_missing_permission_of_our_own_halts(self, code: str, text: str) -> None:
        """Without a permission on the action, our identity or the configuration set, nothing can be sent."""
        assert HaltReason.CREDENTIALS == _halt(email_error(_answer(code, text, status=403), sender=SENDER))

    def test_our_address_with_a_label_is_ours(self) -> None:
        """A verified address covers all its labels, and SES names it without one."""
        text = f"User `u' is not authorized to perform `ses:SendEmail' on resource `{ARN}notices@example.com'"

        error = email_error(_answer("AccessDeniedException", text, status=403), sender="notices+de@example.com")

        assert HaltReason.CREDENTIALS == _halt(error)

    @pytest.mark.parametrize("operation", ["GetAccount", "GetEmailIdentity"])
    def test_a_refused_question_halts(self, operation: str) -> None:
        """A refused question concerns no e-mail, whatever identity it names."""
        text = f"User: u is not authorized to perform: ses:{operation} on resource: {ARN}mentor-042@other.org"

        error = email_error(_answer("AccessDeniedException", text, status=403, operation=operation), sender="")

        assert HaltReason.CREDENTIALS == _halt(error)

    @pytest.mark.parametrize(
        ("code", "text", "halt"),
        [
            (
                "BadRequestException",
                "Configuration set <notices> does not exist.",
                HaltReason.CONFIGURATION_SET_MISSING,
            ),
            ("MessageRejected", "Sending paused for this account.", HaltReason.SENDING_PAUSED),
            ("MessageRejected", "Sending suspended for this account.", HaltReason.ACCOUNT_SUSPENDED),
        ],
    )
    def test_an_error_of_the_account_halts_whatever_its_code(self, code: str, text: str, halt: HaltReason) -> None:
        """A text about the account does not refuse the e-mail."""
        assert halt == _halt(email_error(_answer(code, text), sender=SENDER))


class TestUnknown:
    """Errors that are not in the table."""

    @pytest.mark.parametrize(
        ("status", "expected", "unreachable"),
        [(400, NotSent, False), (302, NotSent, False), (429, Throttled, False), (502, NotSent, True)],
    )
    def test_an_unknown_code_is_tried_again_and_counted(
        self, status: int, expected: type[NotSent], *, unreachable: bool
    ) -> None:
        """An unknown code gets the safest meaning that its status allows, and its name is counted."""
        seen: list[str] = []

        error = email_error(_answer("NewlyInvented", status=status), sender=SENDER, on_unknown=seen.append)

        assert isinstance(error, NotSent)
        assert expected is type(error)
        assert unreachable == error.unreachable
        assert ["NewlyInvented"] == seen

    def test_an_unknown_403_halts(self) -> None:
        """A 403 concerns every e-mail."""
        assert HaltReason.CREDENTIALS == _halt(email_error(_answer("NewlyInvented", status=403), sender=SENDER))

    def test_a_known_code_is_not_counted(self) -> None:
        """Only unknown codes are counted."""
        seen: list[str] = []

        email_error(_answer("MessageRejected"), sender=SENDER, on_unknown=seen.append)

        assert [] == seen

    def test_an_unknown_exception_may_be_a_lost_answer(self) -> None:
        """After an unknown exception SES may have the e-mail, so it is not simply sent again."""
        seen: list[str] = []

        error = email_error(RuntimeError("anything"), sender=SENDER, on_unknown=seen.append)

        assert AnswerLost is type(error)
        assert ["RuntimeError"] == seen

    def test_no_answer_is_lost_before_the_request_leaves(self) -> None:
        """A time-out in the search for credentials is no lost answer."""
        timeout = boto.ReadTimeoutError(endpoint_url="http://169.254.169.254", error=None)

        error = email_error(timeout, sender=SENDER, may_have_left=False)

        assert isinstance(error, NotSent)
        assert error.unreachable

    def test_an_error_of_another_service_is_about_credentials(self) -> None:
        """STS fails before the e-mail is sent, whatever its code."""
        error = email_error(_answer("ValidationError", operation="AssumeRoleWithWebIdentity"), sender=SENDER)

        assert HaltReason.CREDENTIALS == _halt(error)

    def test_an_empty_error_is_not_sent(self) -> None:
        """An error without code and status means: try again."""
        assert NotSent is type(email_error(ClientError({}, "SendEmail"), sender=SENDER))


class TestDetail:
    """The text of an error."""

    def test_a_halt_quotes_ses_without_addresses(self) -> None:
        """A halt explains its cause to the operator; addresses are removed."""
        text = "User: arn:aws:iam::1:user/x is not authorized on arn:aws:ses:::identity/notices@example.com"

        error = email_error(_answer("AccessDeniedException", text, status=403), sender=SENDER)

        assert str(error).startswith("AccessDeniedException (HTTP 403, request r-1): User: arn:aws:iam::1:user/x")
        assert "@" not in str(error)

    @pytest.mark.parametrize("code", ["MessageRejected", "BadRequestException", "TooManyRequestsException"])
    def test_other_errors_name_only_their_code(self, code: str) -> None:
        """SES may quote a name or a subject, which no log may contain."""
        assert f"{code} (HTTP 400, request r-1)" == str(email_error(_answer(code, "Ada Lovelace"), sender=SENDER))
