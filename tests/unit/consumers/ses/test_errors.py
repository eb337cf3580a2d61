"""The table from errors of botocore and aiohttp to ours."""

from __future__ import annotations

from typing import Any

import aiohttp
import boto3
import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from consumers.email import AnswerLost, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from consumers.ses.errors import TABLE, mapped
from deploy.local.ses.errors import ERRORS
from schemas.dispatch import Reason

SENDER = "notices@example.com"
NOT_VERIFIED = "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: "
ARN = "arn:aws:ses:eu-central-1:123456789012:identity/"
ROLE = "arn:aws:sts::123456789012:assumed-role/replica/other.org"
SES_SAYS = f"User `{ROLE}' is not authorized to perform `ses:SendEmail' on resource `%s'"
IAM_SAYS = f"User: {ROLE} is not authorized to perform: ses:SendEmail on resource: %s"
DENIED_RECIPIENTS = [
    # what SES itself says, in the sandbox and of policies that name identities
    SES_SAYS % f"{ARN}mentor-042@other.org",
    SES_SAYS % f"{ARN}other.org",
    SES_SAYS % f"{ARN}Mentor-042@Example.com",
    SES_SAYS % "arn:aws-us-gov:ses:us-gov-west-1:1:identity/mentor-042@other.org",
    # what IAM says of any service
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
    """Make the error that boto3 raises for an answer."""
    response: Any = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "r-1"},
    }
    return ClientError(response, operation)


def _halt(error: EmailError) -> HaltReason:
    """Return the reason of what must be a halt."""
    assert isinstance(error, Halted)
    return error.halt


class TestTable:
    """Nothing that SES or botocore may raise is missing."""

    @pytest.mark.parametrize("operation", ["SendEmail", "GetAccount", "GetEmailIdentity"])
    def test_every_modelled_error_is_in_it(self, operation: str) -> None:
        """Each error shape of the operations that we call has its meaning."""
        client = boto3.Session(region_name="eu-central-1").client("sesv2")
        shapes = client.meta.service_model.operation_model(operation).error_shapes
        client.close()

        assert [] == [shape.name for shape in shapes if shape.name not in TABLE]

    def test_every_error_of_the_local_ses_is_in_it(self) -> None:
        """The local SES has no error that we would not know."""
        assert [] == [name for name in ERRORS if name not in TABLE]

    def test_every_network_error_of_botocore_is_in_it(self) -> None:
        """Whatever befalls a connection has its meaning, by itself or by its base."""
        kinds = [
            kind for kind in vars(boto).values() if isinstance(kind, type) and issubclass(kind, boto.BotoCoreError)
        ]
        network = [kind for kind in kinds if issubclass(kind, (boto.HTTPClientError, boto.ConnectionError))]

        assert network
        assert [] == [kind for kind in network if not any(base in TABLE for base in kind.__mro__)]

    def test_every_error_of_aiohttp_is_in_it(self) -> None:
        """Whatever aiohttp's client may raise has its meaning, by itself or by its base."""
        kinds = [
            kind
            for kind in vars(aiohttp).values()
            if isinstance(kind, type) and issubclass(kind, aiohttp.ClientError | OSError)
        ]

        assert kinds
        assert [] == [kind for kind in kinds if not any(base in TABLE for base in kind.__mro__)]

    def test_what_befalls_a_connection_before_it_stands_is_not_sent(self) -> None:
        """Errors that aiohttp raises only before a request leaves are no lost answers, whatever their bases."""
        kinds: list[type[aiohttp.ClientError]] = [
            aiohttp.ClientConnectorDNSError,
            aiohttp.ClientConnectorSSLError,
            aiohttp.ClientConnectorCertificateError,
            aiohttp.ClientProxyConnectionError,
            aiohttp.ClientHttpProxyError,
            aiohttp.ConnectionTimeoutError,
        ]

        for kind in kinds:
            error = mapped(kind.__new__(kind), sender=SENDER)
            assert isinstance(error, NotSent)
            assert error.unreachable


class TestTexts:
    """Where the code says too little."""

    @pytest.mark.parametrize("code", ["TooManyRequestsException", "ThrottlingException", "LimitExceededException"])
    def test_the_daily_quota_halts(self, code: str) -> None:
        """A used-up day is not waited for as a second is."""
        error = mapped(_answer(code, "Daily message quota exceeded."), sender=SENDER)

        assert HaltReason.DAILY_QUOTA == _halt(error)

    @pytest.mark.parametrize("code", ["TooManyRequestsException", "ThrottlingException", "Throttling"])
    def test_the_rate_throttles(self, code: str) -> None:
        """Too many a second slows down, by whichever name."""
        assert isinstance(mapped(_answer(code, "Maximum sending rate exceeded."), sender=SENDER), Throttled)

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
        """Our own address or domain among those that failed stops all mail."""
        error = mapped(_answer("MessageRejected", NOT_VERIFIED + identities), sender=SENDER)

        assert HaltReason.SENDER_NOT_VERIFIED == _halt(error)

    def test_the_domain_above_the_senders_halts(self) -> None:
        """A verified domain stands for those below it, and so does an unverified one."""
        error = mapped(_answer("MessageRejected", NOT_VERIFIED + "example.com"), sender="notices@mail.example.com")

        assert HaltReason.SENDER_NOT_VERIFIED == _halt(error)

    @pytest.mark.parametrize(
        "identities", ["mentor-042@other.org", "Ada <mentor-042@example.com>", "xnotices@example.com", "ample.com"]
    )
    def test_an_unverified_recipient_is_refused(self, identities: str) -> None:
        """Others among those that failed, even of our own domain, are the sandbox's recipients."""
        error = mapped(_answer("MessageRejected", NOT_VERIFIED + identities), sender=SENDER)

        assert isinstance(error, Refused)
        assert Reason.RECIPIENT_NOT_VERIFIED == error.reason

    def test_an_unverified_identity_without_a_name_halts(self) -> None:
        """Where SES does not say who, nobody is given up."""
        error = mapped(_answer("MessageRejected", "Email address is not verified."), sender=SENDER)

        assert HaltReason.SENDER_NOT_VERIFIED == _halt(error)

    @pytest.mark.parametrize("text", DENIED_RECIPIENTS)
    @pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
    def test_a_right_that_is_missing_for_one_recipient_is_theirs_alone(self, code: str, text: str) -> None:
        """In the sandbox, or where their domain is an identity too, IAM is asked for a right to the recipient's."""
        error = mapped(_answer(code, text, status=403), sender=SENDER)

        assert isinstance(error, Refused)
        assert Reason.RECIPIENT_NOT_ALLOWED == error.reason
        assert "other.org" not in str(error)

    @pytest.mark.parametrize("text", DENIED_TO_US)
    @pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
    def test_a_right_that_is_missing_to_ourselves_halts(self, code: str, text: str) -> None:
        """Nothing can be sent without a right to the action, to our own identity or to the configuration set."""
        assert HaltReason.CREDENTIALS == _halt(mapped(_answer(code, text, status=403), sender=SENDER))

    def test_a_label_of_ours_is_ours(self) -> None:
        """A verified address stands for all its labels, and SES names the address."""
        text = f"User `u' is not authorized to perform `ses:SendEmail' on resource `{ARN}notices@example.com'"

        error = mapped(_answer("AccessDeniedException", text, status=403), sender="notices+de@example.com")

        assert HaltReason.CREDENTIALS == _halt(error)

    @pytest.mark.parametrize("operation", ["GetAccount", "GetEmailIdentity"])
    def test_a_question_that_we_may_not_ask_halts(self, operation: str) -> None:
        """A refused question is about nobody's e-mail, whatever identity it names."""
        text = f"User: u is not authorized to perform: ses:{operation} on resource: {ARN}mentor-042@other.org"

        error = mapped(_answer("AccessDeniedException", text, status=403, operation=operation), sender="")

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
    def test_what_concerns_the_account_halts_whatever_its_code(self, code: str, text: str, halt: HaltReason) -> None:
        """A text about the account is not held against the message."""
        assert halt == _halt(mapped(_answer(code, text), sender=SENDER))


class TestUnknown:
    """What the table does not have."""

    @pytest.mark.parametrize(
        ("status", "expected", "unreachable"),
        [(400, NotSent, False), (302, NotSent, False), (429, Throttled, False), (502, NotSent, True)],
    )
    def test_an_unknown_code_is_tried_again_and_counted(
        self, status: int, expected: type[NotSent], *, unreachable: bool
    ) -> None:
        """The safest meaning that its status allows, and its name is told."""
        seen: list[str] = []

        error = mapped(_answer("NewlyInvented", status=status), sender=SENDER, on_unknown=seen.append)

        assert isinstance(error, NotSent)
        assert (expected, unreachable) == (type(error), error.unreachable)
        assert ["NewlyInvented"] == seen

    def test_an_unknown_403_halts(self) -> None:
        """What we may not do, we may not do for any message."""
        assert HaltReason.CREDENTIALS == _halt(mapped(_answer("NewlyInvented", status=403), sender=SENDER))

    def test_a_known_code_is_not_counted(self) -> None:
        """The counter is for the unknown."""
        seen: list[str] = []

        mapped(_answer("MessageRejected"), sender=SENDER, on_unknown=seen.append)

        assert [] == seen

    def test_an_unknown_exception_may_be_a_lost_answer(self) -> None:
        """What struck after the request left is not sent again lightly."""
        seen: list[str] = []

        error = mapped(RuntimeError("anything"), sender=SENDER, on_unknown=seen.append)

        assert AnswerLost is type(error)
        assert ["RuntimeError"] == seen

    def test_nothing_is_lost_before_the_request_left(self) -> None:
        """A time-out while asking for credentials is no lost answer."""
        timeout = boto.ReadTimeoutError(endpoint_url="http://169.254.169.254", error=None)

        error = mapped(timeout, sender=SENDER, left=False)

        assert isinstance(error, NotSent)
        assert error.unreachable

    def test_an_answer_of_another_service_is_about_credentials(self) -> None:
        """STS's errors come before the call proper, whatever their code."""
        error = mapped(_answer("ValidationError", operation="AssumeRoleWithWebIdentity"), sender=SENDER)

        assert HaltReason.CREDENTIALS == _halt(error)

    def test_an_answer_without_anything_is_still_an_error(self) -> None:
        """An empty error body says no more than to try again."""
        assert NotSent is type(mapped(ClientError({}, "SendEmail"), sender=SENDER))


class TestDetail:
    """What an error says of itself."""

    def test_a_halt_says_ses_own_words_without_addresses(self) -> None:
        """Who must act is told why; addresses are struck out."""
        text = "User: arn:aws:iam::1:user/x is not authorized on arn:aws:ses:::identity/notices@example.com"

        error = mapped(_answer("AccessDeniedException", text, status=403), sender=SENDER)

        assert str(error).startswith("AccessDeniedException (HTTP 403, request r-1): User: arn:aws:iam::1:user/x")
        assert "@" not in str(error)

    @pytest.mark.parametrize("code", ["MessageRejected", "BadRequestException", "TooManyRequestsException"])
    def test_other_errors_say_their_code_only(self, code: str) -> None:
        """SES may quote a name or a subject, which no log may hold."""
        assert f"{code} (HTTP 400, request r-1)" == str(mapped(_answer(code, "Ada Lovelace"), sender=SENDER))
