"""The one place where errors of botocore and aiohttp become ours; what to do about each is said in ``email``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

import aiohttp
import orjson
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from consumers.email import AnswerLost, EmailError, Halted, HaltReason, NotSent, Refused, Throttled
from schemas.dispatch import Reason

Meaning = Callable[[str], EmailError]

_SEND = "SendEmail"
OPERATIONS = frozenset({_SEND, "GetAccount", "GetEmailIdentity"})

_unreachable: Meaning = partial(NotSent, unreachable=True)
_rejected: Meaning = partial(Refused, reason=Reason.MESSAGE_REJECTED)
_bad_request: Meaning = partial(Refused, reason=Reason.BAD_REQUEST)
_unverified_recipient: Meaning = partial(Refused, reason=Reason.RECIPIENT_NOT_VERIFIED)
_recipient_denied: Meaning = partial(Refused, reason=Reason.RECIPIENT_NOT_ALLOWED)
_suspended: Meaning = partial(Halted, halt=HaltReason.ACCOUNT_SUSPENDED)
_paused: Meaning = partial(Halted, halt=HaltReason.SENDING_PAUSED)
_unverified_sender: Meaning = partial(Halted, halt=HaltReason.SENDER_NOT_VERIFIED)
_credentials: Meaning = partial(Halted, halt=HaltReason.CREDENTIALS)
_no_configuration_set: Meaning = partial(Halted, halt=HaltReason.CONFIGURATION_SET_MISSING)
_daily_quota: Meaning = partial(Halted, halt=HaltReason.DAILY_QUOTA)
_limit: Meaning = partial(Halted, halt=HaltReason.LIMIT_EXCEEDED)
_misconfigured: Meaning = partial(Halted, halt=HaltReason.MISCONFIGURED)

# By the code of an answer, or by the class of an exception (its nearest base counts).
# A 5xx may in truth have been accepted, and SES has no token to ask with. It is held to be not sent: the rare doubled
# mail is a smaller evil than giving up, as on a lost answer, on all that meets an outage.
TABLE: Mapping[str | type[BaseException], Meaning] = {
    # what SendEmail models
    "AccountSuspendedException": _suspended,
    "BadRequestException": _bad_request,
    "LimitExceededException": _limit,
    "MailFromDomainNotVerifiedException": _unverified_sender,
    "MessageRejected": _rejected,
    "NotFoundException": _no_configuration_set,
    "SendingPausedException": _paused,
    "TooManyRequestsException": Throttled,
    # what SES's first version calls the like; endpoints have been seen to mix the names
    "AccountSendingPausedException": _paused,
    "ConfigurationSetDoesNotExist": _no_configuration_set,
    "ConfigurationSetDoesNotExistException": _no_configuration_set,
    "ConfigurationSetSendingPausedException": _paused,
    "InvalidParameterValue": _bad_request,
    "Throttling": Throttled,
    # what any AWS service may answer
    "AccessDenied": _credentials,
    "AccessDeniedException": _credentials,
    "AuthFailure": _credentials,
    "ExpiredToken": _credentials,
    "ExpiredTokenException": _credentials,
    "IncompleteSignature": _credentials,
    "IncompleteSignatureException": _credentials,
    "InternalError": _unreachable,
    "InternalFailure": _unreachable,
    "InternalServerError": _unreachable,
    "InternalServiceErrorException": _unreachable,
    "InvalidClientTokenId": _credentials,
    "InvalidSignatureException": _credentials,
    "MissingAuthenticationToken": _credentials,
    "MissingAuthenticationTokenException": _credentials,
    "NotAuthorized": _credentials,
    "OptInRequired": _credentials,
    "RequestExpired": _credentials,
    "RequestInTheFuture": _credentials,
    "RequestTimeTooSkewed": _credentials,
    "RequestTimeout": NotSent,
    "RequestTimeoutException": NotSent,
    "SerializationException": _bad_request,
    "ServiceUnavailable": _unreachable,
    "ServiceUnavailableException": _unreachable,
    "SignatureDoesNotMatch": _credentials,
    "ThrottledException": Throttled,
    "ThrottlingException": Throttled,
    "TooManyRequests": Throttled,
    "UnknownOperationException": _misconfigured,
    "UnrecognizedClientException": _credentials,
    "ValidationError": _bad_request,
    "ValidationException": _bad_request,
    # the request did not leave
    aiohttp.ClientConnectorError: _unreachable,  # refused, no route, no such name, TLS, proxy
    aiohttp.ClientHttpProxyError: _unreachable,
    aiohttp.ConnectionTimeoutError: _unreachable,
    boto.ConnectionError: _unreachable,
    orjson.JSONEncodeError: _bad_request,
    boto.ParamValidationError: _bad_request,
    boto.ValidationError: _bad_request,
    # no credentials to sign it with
    boto.ConfigNotFound: _credentials,
    boto.ConfigParseError: _credentials,
    boto.CredentialRetrievalError: _credentials,
    boto.InvalidConfigError: _credentials,
    boto.LoginError: _credentials,
    boto.MetadataRetrievalError: _credentials,
    boto.NoAuthTokenError: _credentials,
    boto.NoCredentialsError: _credentials,
    boto.PartialCredentialsError: _credentials,
    boto.ProfileNotFound: _credentials,
    boto.RefreshWithMFAUnsupportedError: _credentials,
    boto.SSOError: _credentials,
    boto.TokenRetrievalError: _credentials,
    boto.UnknownCredentialError: _credentials,
    boto.UnknownTokenProviderError: _credentials,
    # no place to send it to
    boto.BaseEndpointResolverError: _misconfigured,
    boto.EndpointProviderError: _misconfigured,
    boto.InvalidEndpointConfigurationError: _misconfigured,
    boto.InvalidProxiesConfigError: _misconfigured,
    boto.InvalidRegionError: _misconfigured,
    boto.MissingDependencyException: _misconfigured,
    boto.UnknownRegionError: _misconfigured,
    # what came back says nothing, and is lost where the request left
    OSError: AnswerLost,
    TimeoutError: AnswerLost,
    aiohttp.ClientError: AnswerLost,  # connection closed, answer cut short or no HTTP
    boto.HTTPClientError: AnswerLost,
    boto.IncompleteReadError: AnswerLost,
    orjson.JSONDecodeError: AnswerLost,
    ResponseParserError: AnswerLost,
}

# Where a code says too little, SES's text says more: the first that fits.
_TEXTS: tuple[tuple[frozenset[Meaning], re.Pattern[str], Meaning], ...] = (
    (frozenset({Throttled, _limit}), re.compile(r"\bdaily\b|24[ -]?hour", re.IGNORECASE), _daily_quota),
    (
        frozenset({_bad_request, _rejected}),
        re.compile(r"configuration set\b.*\bdoes ?n[o']t exist", re.IGNORECASE | re.DOTALL),
        _no_configuration_set,
    ),
    (frozenset({_rejected}), re.compile(r"\bsending (is )?(paused|disabled)", re.IGNORECASE), _paused),
    (frozenset({_rejected}), re.compile(r"\bsending (is )?suspended", re.IGNORECASE), _suspended),
)

_ACCESS_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_DENIED_IDENTITY = re.compile(r"\barn:[\w-]+:ses:[\w-]*:\w*:identity/([^\s`'\",;<>]+)", re.IGNORECASE)
_NOT_VERIFIED = re.compile(r"not verified", re.IGNORECASE)
_FAILED_IDENTITIES = re.compile(r"following identities failed[^:]*:(.*)", re.IGNORECASE | re.DOTALL)
_IDENTITY = re.compile(r"(?:arn:[^\s,]*?identity/)?([^\s<>,;\"]+)")
_ADDRESS = re.compile(r"\S*@\S*")

_DETAIL_CHARACTERS = 300


def _uncounted(_name: str) -> None:
    """Count nothing."""


def mapped(
    error: BaseException, *, sender: str, left: bool = True, on_unknown: Callable[[str], None] = _uncounted
) -> EmailError:
    """
    Return what *error* means, which a client of botocore's or aiohttp's raised.

    Args:
        error: whatever a call raised.
        sender: our own From address, to tell it from a recipient who is not verified.
        left: whether the request may have left; where it did not, no answer can have been lost.
        on_unknown: takes the code or class of an error that the table does not have.
    """
    if isinstance(error, EmailError):
        return error
    meaning = _meaning(error, sender, on_unknown)
    if meaning is AnswerLost and not left:
        meaning = _unreachable
    return meaning(_detail(error, meaning))


def without_credentials(error: Exception) -> EmailError:
    """Return what *error* means, which was met where credentials were looked for: a halt, for one reason or another."""
    meaning = _meaning_of_class(error)
    if meaning is None or not _halts(meaning):
        meaning = _credentials
    return meaning(_detail(error, meaning))


def _halts(meaning: Meaning) -> bool:
    return isinstance(meaning, partial) and meaning.func is Halted


def _meaning(error: BaseException, sender: str, on_unknown: Callable[[str], None]) -> Meaning:
    if isinstance(error, boto.ClientError):
        return _meaning_of_answer(error, sender, on_unknown)
    meaning = _meaning_of_class(error)
    if meaning is None:
        on_unknown(type(error).__name__)
        return AnswerLost
    return meaning


def _meaning_of_class(error: BaseException) -> Meaning | None:
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), None)


def _meaning_of_answer(error: boto.ClientError, sender: str, on_unknown: Callable[[str], None]) -> Meaning:
    if error.operation_name not in OPERATIONS:
        return _credentials  # STS and the like, asked for credentials before the call proper
    code, text = error_code(error), _text(error)
    meaning = TABLE.get(code)
    if meaning is None:
        on_unknown(code)
        return _meaning_of_status(_status(error))
    if meaning is _rejected and _NOT_VERIFIED.search(text):
        return _whose_identity(text, sender)
    if code in _ACCESS_DENIED and error.operation_name == _SEND:
        return _whose_right(text, sender)
    return next((better for vague, rule, better in _TEXTS if meaning in vague and rule.search(text)), meaning)


def _meaning_of_status(status: int) -> Meaning:
    """Take an unknown answer for the safest thing it may be: tried again, and given up on at last."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return _credentials
    if status == HTTPStatus.OK:
        return AnswerLost
    return _unreachable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else NotSent


def _whose_identity(text: str, sender: str) -> Meaning:
    """
    Tell an unverified sender, who stops all mail, from an unverified recipient of the sandbox.

    SES names those that failed, as addresses (with display names), domains or ARNs. Our own domain counts bare only: a
    recipient may share it. Where it names none, stopping is the safe guess: refusing would dead-letter everything.
    """
    named = _FAILED_IDENTITIES.search(text)
    if named is None:
        return _unverified_sender
    if any(_is_ours(identity, sender) for identity in _IDENTITY.findall(named[1])):
        return _unverified_sender
    return _unverified_recipient


def _whose_right(text: str, sender: str) -> Meaning:
    """
    Tell a missing right to send to one recipient from a missing right to send at all.

    In the sandbox, and wherever a recipient's address or domain is an identity of the account, IAM asks for a right to
    that identity too, and SES names it. Where it names none, or ours, no mail can be sent: that is a halt.
    """
    named = _DENIED_IDENTITY.findall(text)
    if not named or any(_is_ours(identity, sender) or not _is_somebodys(identity) for identity in named):
        return _credentials
    return _recipient_denied


def _is_somebodys(identity: str) -> bool:
    """Check whether an identity is an address or a domain, and not a pattern such as `*`."""
    return "*" not in identity and ("@" in identity or "." in identity)


def _is_ours(identity: str, sender: str) -> bool:
    """Check whether an identity is our From address (with or without a label), its domain or a domain above it."""
    bare, address = identity.lower().rstrip("."), sender.lower()
    local, _, domain = address.rpartition("@")
    return bare in {address, domain, f"{local.partition('+')[0]}@{domain}"} or (
        "." in bare and domain.endswith(f".{bare}")
    )


def error_code(error: boto.ClientError) -> str:
    """Return the code of an answer, as ``MessageRejected``."""
    return str(error.response.get("Error", {}).get("Code") or "none")


def _text(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message") or "")


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _detail(error: BaseException, meaning: Meaning) -> str:
    """Name an error for logs: SES's own words where they concern the account, never an address or a message."""
    if not isinstance(error, boto.ClientError):
        return type(error).__name__
    request = error.response.get("ResponseMetadata", {}).get("RequestId", "")
    name = f"{error_code(error)} (HTTP {_status(error)}, request {request or 'unknown'})"
    account_wide = _halts(meaning) and meaning is not _unverified_sender
    if not account_wide:
        return name
    return f"{name}: {_ADDRESS.sub('<address>', _text(error))[:_DETAIL_CHARACTERS]}"
