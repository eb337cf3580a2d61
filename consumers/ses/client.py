"""The sender over AWS SES v2: boto3 in threads, one recipient and exactly one attempt a call."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import formataddr, parseaddr
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

from consumers.ses.calls import Calls, NeverBegan, NotBack
from consumers.ses.email import AnswerLost, Email, EmailError, NotSent
from consumers.ses.errors import mapped

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

CONNECT_SECONDS = 3.0
MARGIN_SECONDS = 0.5  # beyond the time-out, for threads to hand over

_USER_AGENT = f"pause-notifications Boto3/{boto3.__version__}"
_OPERATION = "SendEmail"
_CHARSET = "UTF-8"  # SES takes 7-bit ASCII where none is said


def ses_client(*, timeout_seconds: float, max_in_flight: int, session: boto3.Session | None = None) -> SESV2Client:
    """
    Build boto3's client, which finds credentials, region and endpoint where AWS users expect.

    One attempt a call, whatever AWS_MAX_ATTEMPTS says: botocore's own retry sends again after a lost answer. A spare
    connection is for the account. The User-Agent is fixed, which saves a tenth of a send's CPU: botocore otherwise
    builds one for each call. AWS_REGION, which containers are given and boto3 does not read, counts where boto3 finds
    no region by itself.

    Raises:
        botocore.exceptions.BotoCoreError: where region, profile or endpoint are missing or wrong.
    """
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(CONNECT_SECONDS, timeout_seconds),
        read_timeout=timeout_seconds,
        max_pool_connections=max_in_flight + 1,
        tcp_keepalive=True,
        user_agent=_USER_AGENT,
    )
    session = session or boto3.Session()
    region = session.region_name or os.environ.get("AWS_REGION")
    return session.client("sesv2", config=config, region_name=region)


@dataclass(frozen=True)
class Sender:
    """
    Whom mail comes from, and where answers to it go; addresses may have names, ``Mentoring <notices@example.com>``.

    Raises:
        ValueError: an address that SES would refuse, and with it every mail.
    """

    from_address: str
    reply_to: Sequence[str] = ()
    configuration_set: str | None = None

    def __post_init__(self) -> None:
        for address in (self.from_address, *self.reply_to):
            _encoded(address)

    @property
    def address(self) -> str:
        """Give the From address without its name."""
        return parseaddr(self.from_address)[1]

    def arguments(self) -> dict[str, Any]:
        """Give SendEmail's arguments that are the same for each mail, names encoded (RFC 2047)."""
        arguments: dict[str, Any] = {"FromEmailAddress": _encoded(self.from_address)}
        if self.reply_to:
            arguments["ReplyToAddresses"] = [_encoded(address) for address in self.reply_to]
        if self.configuration_set:
            arguments["ConfigurationSetName"] = self.configuration_set
        return arguments


class SesSender:
    """
    Hands e-mails to SES; an EmailSender.

    A send is never cancelled: where the task that awaits it is, the call still ends in its thread, and its outcome is
    nobody's. ``aclose`` waits for such calls, within bounds.
    """

    def __init__(
        self,
        client: SESV2Client,
        sender: Sender,
        *,
        timeout_seconds: float,
        max_in_flight: int,
        margin_seconds: float = MARGIN_SECONDS,
        on_unknown: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._sender = sender.address
        self._common = sender.arguments()
        self._deadline = timeout_seconds + margin_seconds
        self._calls = Calls(threads=max_in_flight, name="ses-send")
        self._on_unknown = on_unknown
        self._request = threading.local()
        self._operation = client.meta.service_model.operation_model(_OPERATION)
        self._url = client.meta.endpoint_url + self._operation.http["requestUri"]
        self._headers = {"Content-Type": "application/json", "User-Agent": _USER_AGENT}

    async def send(self, email: Email) -> str:
        """
        Hand *email* to SES and give its message id, within the time-out and a little.

        Raises:
            EmailError: and nothing else.
        """
        try:
            outcome = await self._calls.call(partial(self._send, email), deadline=self._deadline)
        except NeverBegan:
            raise NotSent("no thread was free to send") from None
        except NotBack:
            raise AnswerLost("no answer within the time-out") from None
        if isinstance(outcome, EmailError):
            raise outcome
        return outcome

    async def aclose(self, *, deadline: float) -> None:
        """Begin no more sends and wait at most *deadline* seconds for those under way; threads end with their calls."""
        await self._calls.aclose(deadline=deadline)

    def _send(self, email: Email) -> str | EmailError:
        """Send, in a thread; errors are values here, so that those of an abandoned send are not reported as lost."""
        self._request.left = False
        try:
            answer = self._call({**self._common, **_arguments(email)})
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is promised an EmailError
            return mapped(error, sender=self._sender, left=self._request.left, on_unknown=self._on_unknown)
        return answer.get("MessageId") or AnswerLost("an answer without a message id")

    def _call(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """
        Make one call as boto3's client makes it, by its own signer, connections, parser and exceptions.

        What is left out (validation, serializer, endpoint rules, retry handlers, hooks) takes more than a third of a
        call's CPU, and tells nothing about arguments that are the same but for their texts.
        """
        request = AWSRequest("POST", self._url, headers=self._headers, data=json.dumps(arguments).encode())
        self._client._request_signer.sign(_OPERATION, request)  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        self._request.left = True  # signed, and about to go out: errors before this lose no answer
        response = self._client._endpoint.http_session.send(request.prepare())  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        answer = {"status_code": response.status_code, "headers": response.headers, "body": response.content}
        parsed: dict[str, Any] = self._client._response_parser.parse(answer, self._operation.output_shape)  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            modelled: type[ClientError] = self._client.exceptions.from_code(parsed["Error"].get("Code"))  # type: ignore[assignment]  # the stubs say instance
            raise modelled(parsed, _OPERATION)  # type: ignore[arg-type]  # as botocore itself raises it
        return parsed


def _arguments(email: Email) -> dict[str, Any]:
    return {
        "Destination": {"ToAddresses": [email.to]},
        "Content": {
            "Simple": {
                "Subject": _content(email.subject),
                "Body": {"Text": _content(email.text), "Html": _content(email.html)},
            }
        },
        "EmailTags": [{"Name": name, "Value": value} for name, value in email.tags.items()],
    }


def _content(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": _CHARSET}


def _encoded(given: str) -> str:
    """Give an address with its name in ASCII; raises ValueError where it is none."""
    name, address = parseaddr(given)
    try:
        parsed = Address(addr_spec=address)
    except (MessageError, ValueError, IndexError):
        parsed = Address()
    if not (given.isprintable() and address.isascii() and parsed.username and "." in parsed.domain):
        raise ValueError(f"{given!r} is not an e-mail address such as Mentoring <notices@example.com>")
    return formataddr((name, address))
