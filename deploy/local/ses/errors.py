"""The errors of SES in rest-json.

They are all a ``SesError``; boto3 turns its name into a modelled exception.
"""

from __future__ import annotations

UNKNOWN = "UnheardOfException"
"""An error that SES does not have yet, so that no client knows it."""

# name: HTTP status, and the usual message of SES
ERRORS: dict[str, tuple[int, str]] = {
    # modelled for SendEmail
    "AccountSuspendedException": (400, "Your account's ability to send email has been permanently restricted."),
    "BadRequestException": (400, "The request is not valid."),
    "LimitExceededException": (400, "There are too many instances of the specified resource type."),
    "MailFromDomainNotVerifiedException": (400, "The MAIL FROM domain is not verified."),
    "MessageRejected": (400, "The message can't be sent because it contains invalid content."),
    "NotFoundException": (404, "The resource does not exist."),
    "SendingPausedException": (400, "Email sending is disabled for your account."),
    "TooManyRequestsException": (429, "Maximum sending rate exceeded."),
    # common to all AWS services
    "AccessDeniedException": (403, "User is not authorized to perform: ses:SendEmail"),
    "ExpiredTokenException": (403, "The security token included in the request is expired"),
    "InternalFailure": (500, "The request processing has failed because of an unknown error."),
    "InvalidSignatureException": (
        403,
        "The request signature we calculated does not match the signature you provided.",
    ),
    "SerializationException": (400, "The request is not the JSON that this operation takes."),
    "ServiceUnavailable": (503, "The request has failed due to a temporary failure of the server."),
    "ThrottlingException": (400, "Maximum sending rate exceeded."),
    "UnknownOperationException": (404, "The local SES does not support this operation."),
    "UnrecognizedClientException": (403, "The security token included in the request is invalid."),
    UNKNOWN: (400, "An error that no client knows."),
}

ACCESS_DENIED = "AccessDeniedException"
DAILY_QUOTA_EXCEEDED = "Daily message quota exceeded."


def denied_recipient(address: str, region: str) -> str:
    """Return the message of SES if IAM does not allow sending to one recipient."""
    return (
        "User `arn:aws:iam::123456789012:user/local' is not authorized to perform `ses:SendEmail' on resource "
        f"`arn:aws:ses:{region}:123456789012:identity/{address}'"
    )


class SesError(Exception):
    """Answer the call with this error, with SES's usual message or with *message*."""

    def __init__(self, name: str, message: str | None = None) -> None:
        self.name = name
        self.status, default = ERRORS[name]
        self.message = message or default
        super().__init__(name, self.message)


def bad_request(message: str) -> SesError:
    """Return the error for an invalid request."""
    return SesError("BadRequestException", message)
