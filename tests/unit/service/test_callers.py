"""Identifying callers."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from service.api_keys import ApiKey
from service.callers import Caller, Callers
from service.key_failures import MAX_FAILURES, WINDOW_SECONDS, KeyFailures
from service.metrics import make_metrics
from service.problems import TOO_MANY_WRONG_KEYS, UNKNOWN_API_KEY, Problem
from tests.api_keys import api_key, key_of

CLIENT = "192.0.2.7"
KEYS = (api_key("billing"), api_key("duty", operator=True), api_key("crm"))


def _callers(keys: Sequence[ApiKey] | None = KEYS, monotonic: Callable[[], float] = lambda: 0.0) -> Callers:
    return Callers(keys, KeyFailures(make_metrics().key_failures, monotonic))


def _refusal(callers: Callers, headers: dict[str, str], client: str = CLIENT) -> Problem:
    with pytest.raises(Problem) as caught:
        callers.identify(headers, client)
    return caught.value


def test_without_keys() -> None:
    """Without keys everybody is let in as anonymous, whatever key they send, and reads everything."""
    found = _callers(None).identify({"x-api-key": "whatever"}, CLIENT)

    assert Caller("anonymous", share=CLIENT, reads_all=True) == found


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": f"Bearer {key_of('billing')}"}, Caller("billing", share="billing")),
        ({"authorization": f"bearer  {key_of('crm')} "}, Caller("crm", share="crm")),
        ({"x-api-key": key_of("crm")}, Caller("crm", share="crm")),
        ({"x-api-key": key_of("duty")}, Caller("duty", share="duty", reads_all=True)),
    ],
)
def test_known_key(headers: dict[str, str], expected: Caller) -> None:
    """A key, in either header, names its caller; an operator's reads everything."""
    assert expected == _callers().identify(headers, CLIENT)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": key_of("stranger")},
        {"x-api-key": key_of("billing")[:-1]},
        {"x-api-key": KEYS[0].digest.hex()},
        {"authorization": f"Basic {key_of('billing')}"},
        {"x-api-key": "\xff"},
    ],
)
def test_wrong_key(headers: dict[str, str]) -> None:
    """No key, a wrong one, a digest from the file or another scheme is 401 with the scheme to use."""
    refusal = _refusal(_callers(), headers)

    assert UNKNOWN_API_KEY is refusal.kind
    assert "WWW-Authenticate" in refusal.headers


def test_every_digest_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of comparisons is the same whichever key it is, and for an unknown one."""
    compared: list[bytes] = []

    def compare(one: bytes, _other: bytes) -> bool:
        compared.append(one)
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)

    for name in ("billing", "crm", "stranger"):
        _refusal(_callers(), {"x-api-key": key_of(name)})

    assert [key.digest for key in KEYS] * 3 == compared


def test_many_wrong_keys_are_slowed_down() -> None:
    """After some failures a client is told to wait, until the window is over; other clients are not."""
    now = 0.0
    callers = _callers(monotonic=lambda: now)
    kinds = [_refusal(callers, {"x-api-key": "guess"}).kind for _ in range(MAX_FAILURES + 1)]
    now = WINDOW_SECONDS - 12.5
    slowed = _refusal(callers, {"x-api-key": "guess"})
    other = _refusal(callers, {"x-api-key": "guess"}, "192.0.2.8")
    now = WINDOW_SECONDS
    after = _refusal(callers, {"x-api-key": "guess"})

    assert [UNKNOWN_API_KEY] * MAX_FAILURES + [TOO_MANY_WRONG_KEYS] == kinds
    assert TOO_MANY_WRONG_KEYS == slowed.kind
    assert "13" == slowed.headers["Retry-After"]
    assert UNKNOWN_API_KEY == other.kind
    assert UNKNOWN_API_KEY == after.kind


def test_a_valid_key_is_let_in_while_its_address_is_slowed_down() -> None:
    """Strangers at the same address lock nobody out."""
    callers = _callers()
    for _ in range(MAX_FAILURES * 2):
        _refusal(callers, {"x-api-key": "guess"})

    assert "billing" == callers.identify({"x-api-key": key_of("billing")}, CLIENT).name


def test_logs_have_no_key() -> None:
    """The log of a failure names client and reason, and not the key; beyond the limit there is one line."""
    callers = _callers()
    with capture_logs() as logs:
        for _ in range(MAX_FAILURES * 3):
            _refusal(callers, {"x-api-key": key_of("stranger")})

    refused = {"event": "api_key.refused", "log_level": "warning", "client": CLIENT, "reason": "unknown"}
    slowed = {
        "event": "api_key.client.slowed",
        "log_level": "warning",
        "client": CLIENT,
        "failures": MAX_FAILURES + 1,
    }
    assert [refused] * MAX_FAILURES + [slowed] == logs
