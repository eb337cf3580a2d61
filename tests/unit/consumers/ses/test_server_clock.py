"""The correction of our clock by refusals of SES."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from consumers.ses.server_clock import ServerClock
from tests.fakes.clock import FakeClock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SKEWED = "RequestTimeTooSkewed"


class TestServerClock:
    """Our clock, corrected."""

    def test_it_is_our_clock_at_first(self) -> None:
        """Without a refusal nothing is corrected."""
        assert NOW == ServerClock(FakeClock(NOW)).now()

    @pytest.mark.parametrize("code", [SKEWED, "RequestExpired", "SignatureDoesNotMatch", "InvalidSignatureException"])
    @pytest.mark.parametrize(
        ("date", "expected"),
        [
            ("Tue, 24 Nov 2026 15:00:00 GMT", timedelta(hours=3)),
            ("Mon, 23 Nov 2026 12:00:00 -0000", timedelta(days=-1)),
        ],
    )
    def test_a_refusal_corrects_it(self, code: str, date: str, expected: timedelta) -> None:
        """A refused signature whose response has a date hours away corrects the clock."""
        clock = ServerClock(FakeClock(NOW))

        assert clock.correct(code, date, NOW)
        assert expected == clock.offset
        assert NOW + expected == clock.now()

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
    def test_nothing_else_corrects_it(self, code: str, date: str | None) -> None:
        """Another error, a date that agrees, no date and an invalid date correct nothing."""
        clock = ServerClock(FakeClock(NOW))

        assert not clock.correct(code, date, NOW)
        assert NOW == clock.now()
