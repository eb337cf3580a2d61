"""The meaning of every error of botocore and aiohttp; `consumers.email` says what to do about each."""

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

# The codes of SES v2 and v1 (endpoints have been seen to mix them) and of any AWS service.
# SES may have accepted what it answers with a 5xx, and has no token to ask with. It counts as not sent: a rare second
# e-mail is a smaller evil than to give up, as after lost answers, on all e-mails of an outage.
_CODES: Mapping[Meaning, str] = {
    _suspended: "AccountSuspendedException",
    _paused: "SendingPausedException AccountSendingPausedException ConfigurationSetSendingPausedException",
    _unverified_sender: "MailFromDomainNotVerifiedException",
    _no_configuration_set: "NotFoundException ConfigurationSetDoesNotExist ConfigurationSetDoesNotExistException",
    _limit: "LimitExceededException",
    _rejected: "MessageRejected",
    _bad_request: (
        "BadRequestException InvalidParameterValue SerializationException ValidationError ValidationException"
    ),
    Throttled: "TooManyRequestsException TooManyRequests Throttling ThrottledException ThrottlingException",
    NotSent: "RequestTimeout RequestTimeoutException",
    _unreachable: (
        "InternalError InternalFailure InternalServerError InternalServiceErrorException ServiceUnavailable "
        "ServiceUnavailableException"
    ),
    _credentials: (
        "AccessDenied AccessDeniedException AuthFailure ExpiredToken ExpiredTokenException IncompleteSignature "
        "IncompleteSignatureException InvalidClientTokenId InvalidSignatureException MissingAuthenticationToken "
        "MissingAuthenticationTokenException NotAuthorized OptInRequired RequestExpired RequestInTheFuture "
        "RequestTimeTooSkewed SignatureDoesNotMatch UnrecognizedClientException"
    ),
    _misconfigured: "UnknownOperationException",
}

# The nearest base of an exception counts.
_EXCEPTIONS: Mapping[Meaning, tuple[type[BaseException], ...]] = {
    # the request did not leave: refused, no route, no such name, TLS, proxy
    _unreachable: (
        aiohttp.ClientConnectorError,
        aiohttp.ClientHttpProxyError,
        aiohttp.ConnectionTimeoutError,
        boto.ConnectionError,
    ),
    _bad_request: (orjson.JSONEncodeError, boto.ParamValidationError, boto.ValidationError),
    _credentials: (
        boto.ConfigNotFound,
        boto.ConfigParseError,
        boto.CredentialRetrievalError,
        boto.InvalidConfigError,
        boto.LoginError,
        boto.MetadataRetrievalError,
        boto.NoAuthTokenError,
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.ProfileNotFound,
        boto.RefreshWithMFAUnsupportedError,
        boto.SSOError,
        boto.TokenRetrievalError,
        boto.UnknownCredentialError,
        boto.UnknownTokenProviderError,
    ),
    # there is no place to send it to
    _misconfigured: (
        boto.BaseEndpointResolverError,
        boto.EndpointProviderError,
        boto.InvalidEndpointConfigurationError,
        boto.InvalidProxiesConfigError,
        boto.InvalidRegionError,
        boto.MissingDependencyException,
        boto.UnknownRegionError,
    ),
    # no answer that can be read; it is lost if the request has left
    AnswerLost: (
        OSError,
        TimeoutError,
        aiohttp.ClientError,  # connection closed, answer cut short or not HTTP
        boto.HTTPClientError,
        boto.IncompleteReadError,
        orjson.JSONDecodeError,
        ResponseParserError,
    ),
}

TABLE: Mapping[str | type[BaseException], Meaning] = {
    **{code: meaning for meaning, codes in _CODES.items() for code in codes.split()},
    **{kind: meaning for meaning, kinds in _EXCEPTIONS.items() for kind in kinds},
}

# If a code says too little, SES's text says more: the first row that fits counts.
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


def email_error(
    error: BaseException, *, sender: str, may_have_left: bool = True, on_unknown: Callable[[str], None] = _uncounted
) -> EmailError:
    """
    Return the meaning of *error*, which botocore or aiohttp raised.

    Args:
        error: whatever a call raised.
        sender: our From address, to tell it from a recipient who is not verified.
        may_have_left: whether the request may have left; if it did not, no answer can be lost.
        on_unknown: called with the code or class of an error that is not in the table.
    """
    if isinstance(error, EmailError):
        return error
    meaning = _meaning(error, sender, on_unknown)
    if meaning is AnswerLost and not may_have_left:
        meaning = _unreachable
    return meaning(_detail(error, meaning))


def credentials_error(error: Exception) -> EmailError:
    """Return the halt that *error* means, which the search for credentials raised."""
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
        return _credentials  # an error of STS or the like, which was asked for credentials first
    code, text = error_code(error), _text(error)
    meaning = TABLE.get(code)
    if meaning is None:
        on_unknown(code)
        return _meaning_of_status(_status(error))
    if meaning is _rejected and _NOT_VERIFIED.search(text):
        return _whose_identity(text, sender)
    if code in _ACCESS_DENIED and error.operation_name == _SEND:
        return _whose_permission(text, sender)
    return next((better for vague, rule, better in _TEXTS if meaning in vague and rule.search(text)), meaning)


def _meaning_of_status(status: int) -> Meaning:
    """Return the safest meaning of an unknown code: try again, and give up in the end."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return _credentials
    if status == HTTPStatus.OK:
        return AnswerLost
    return _unreachable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else NotSent


def _whose_identity(text: str, sender: str) -> Meaning:
    """
    Tell an unverified sender, who stops all mail, from an unverified recipient in the sandbox.

    SES names the identities that failed: addresses (with display names), domains or ARNs. Only the bare domain is ours,
    since a recipient may have an address in it. If SES names none, it is safe to halt: refusing would dead-letter all.
    """
    named = _FAILED_IDENTITIES.search(text)
    if named is None:
        return _unverified_sender
    if any(_is_ours(identity, sender) for identity in _IDENTITY.findall(named[1])):
        return _unverified_sender
    return _unverified_recipient


def _whose_permission(text: str, sender: str) -> Meaning:
    """
    Tell a missing permission for one recipient from a missing permission to send at all.

    If a recipient's address or domain is an identity of the account, as in the sandbox, IAM also asks for a permission
    on that identity, and SES names it. If SES names none, or ours, no mail can be sent: that is a halt.
    """
    named = _DENIED_IDENTITY.findall(text)
    if not named or any(_is_ours(identity, sender) or not _is_one_identity(identity) for identity in named):
        return _credentials
    return _recipient_denied


def _is_one_identity(identity: str) -> bool:
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
    """Describe an error for logs: with SES's text if it concerns the account, and never with an address or message."""
    if not isinstance(error, boto.ClientError):
        return type(error).__name__
    request = error.response.get("ResponseMetadata", {}).get("RequestId", "")
    name = f"{error_code(error)} (HTTP {_status(error)}, request {request or 'unknown'})"
    account_wide = _halts(meaning) and meaning is not _unverified_sender
    if not account_wide:
        return name
    return f"{name}: {_ADDRESS.sub('<address>', _text(error))[:_DETAIL_CHARACTERS]}"
