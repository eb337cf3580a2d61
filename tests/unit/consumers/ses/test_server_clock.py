"""When a refusal means that our clock is off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from consumers.ses.server_clock import SesTime
from tests.fakes.clock import FakeClock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SKEWED = "RequestTimeTooSkewed"


class TestSesTime:
    """The correction."""

    def test_it_is_ours_at_first(self) -> None:
        """Without a refusal nothing is put right."""
        assert NOW == SesTime(FakeClock(NOW)).now()

    @pytest.mark.parametrize("code", [SKEWED, "RequestExpired", "SignatureDoesNotMatch", "InvalidSignatureException"])
    @pytest.mark.parametrize(
        ("date", "expected"),
        [
            ("Tue, 24 Nov 2026 15:00:00 GMT", timedelta(hours=3)),
            ("Mon, 23 Nov 2026 12:00:00 -0000", timedelta(days=-1)),
        ],
    )
    def test_it_is_learnt_from_a_refusal(self, code: str, date: str, expected: timedelta) -> None:
        """A refusal for the signature's sake, hours from when it was signed, tells SES's time."""
        time = SesTime(FakeClock(NOW))

        assert time.learn(code, date, NOW)
        assert expected == time.off
        assert NOW + expected == time.now()

    @pytest.mark.parametrize(
        ("code", "date"),
        [
            ("MessageRejected", "Tue, 24 Nov 2026 15:00:00 GMT"),
            ("ExpiredTokenException", "Tue, 24 Nov 2026 15:00:00 GMT"),
            (SKEWED, "Tue, 24 Nov 2026 12:00:30 GMT"),
            (SKEWED, None),
            (SKEWED, "soon"),
            (SKEWED, "Tue, 99 Nov 2026 15:00:00 GMT"),
        ],
    )
    def test_it_is_not_learnt_from_anything_else(self, code: str, date: str | None) -> None:
        """Another error, an agreeing date or none, and a date that is none leave the time as it was."""
        time = SesTime(FakeClock(NOW))

        assert not time.learn(code, date, NOW)
        assert NOW == time.now()
