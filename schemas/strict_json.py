"""Read JSON, for REST and Kafka alike, and refuse whatever two parsers might read differently."""

from __future__ import annotations

import json
import re
from typing import Any

_MAX_DIGITS = 18
_BEYOND: int = 10**_MAX_DIGITS
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


class NotJson(ValueError):
    """Bytes are not one JSON document. The message says why and where, and repeats none of them."""


def read_json(body: bytes) -> Any:
    """
    Parse *body*, one JSON document in UTF-8.

    A whole number of more than 18 digits is read as 10^18, which is beyond every limit of the contract. Reading all
    its digits would take quadratic time.

    Raises:
        NotJson: if it is not JSON, repeats a name in an object, or has NaN, a lone surrogate or too deep nesting.
    """
    if not body.strip():
        raise NotJson("it is empty")
    try:
        text = body.decode()
        if text.startswith("\ufeff"):
            raise NotJson("it begins with a byte order mark (the bytes EF BB BF), which JSON must not have")
        parsed: Any = _DECODER.decode(text)
        if _HALF_CHARACTER.search(text):
            json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8") from None
    except UnicodeEncodeError:
        raise NotJson("a text has half a character (a lone surrogate)") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    return parsed


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("a name appears twice in one object")
    return found


def _no_constant(_name: str) -> None:
    raise NotJson("NaN and Infinity are not JSON")


def _whole_number(digits: str) -> int:
    if len(digits) <= _MAX_DIGITS:
        return int(digits)
    return _BEYOND * (-1 if digits.startswith("-") else 1)


_DECODER = json.JSONDecoder(object_pairs_hook=_no_name_twice, parse_constant=_no_constant, parse_int=_whole_number)
