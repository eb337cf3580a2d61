"""What SES answered a SendEmail."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from botocore.exceptions import ClientError
from botocore.parsers import create_parser

from consumers.email import AnswerLost

_OPERATION = "SendEmail"
_parser = create_parser("rest-json")


def message_id(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """
    Return the id of the mail that SES accepted.

    Raises:
        botocore.exceptions.ClientError: SES refused it; read by boto3's own parser, so that all is named as there.
        AnswerLost: it says neither.
        orjson.JSONDecodeError: likewise.
    """
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        parsed: Any = _parser.parse({"status_code": status, "headers": headers, "body": body}, None)  # type: ignore[arg-type]  # an error is read without a shape
        raise ClientError(parsed, _OPERATION)
    answer = orjson.loads(body)
    given = answer.get("MessageId") if isinstance(answer, dict) else None
    if not isinstance(given, str) or not given:
        raise AnswerLost("an answer without a message id")
    return given
