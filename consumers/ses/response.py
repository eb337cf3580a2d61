"""The response of SES to SendEmail."""

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
    Return the id of the e-mail that SES accepted.

    Raises:
        botocore.exceptions.ClientError: SES refused it. boto3's parser reads the error, so its names are the same.
        AnswerLost: the response contains no id.
        orjson.JSONDecodeError: the response is not JSON.
    """
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        parsed: Any = _parser.parse({"status_code": status, "headers": headers, "body": body}, None)  # type: ignore[arg-type]  # the parser needs no shape for an error
        raise ClientError(parsed, _OPERATION)
    answer = orjson.loads(body)
    found = answer.get("MessageId") if isinstance(answer, dict) else None
    if not isinstance(found, str) or not found:
        raise AnswerLost("an answer without a message id")
    return found
