"""Signatures, compared with botocore's."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from consumers.ses.endpoint import Endpoint
from consumers.ses.signing import Signer

NOW = datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC)
CREDENTIALS = ReadOnlyCredentials("AKID", "secret", None)

_word = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
_printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
_hosts = st.one_of(
    st.builds("{}.{}".format, _word, _word),
    st.builds("{}.{}:{}".format, _word, _word, st.sampled_from([80, 443, 8025])),
    st.sampled_from(["[::1]", "[::1]:8025", "127.0.0.1:80"]),
)
_paths = st.lists(st.text("abzABZ019-._~%+ ü/", min_size=1, max_size=8)).map(
    lambda parts: "".join(f"/{p}" for p in parts)
)
_times = st.datetimes(datetime(2001, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


def _signer(url: str = "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails") -> Signer:
    return Signer(Endpoint(url, "eu-central-1", "ses", "agent", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))


def _by_botocore(url: str, body: bytes, credentials: ReadOnlyCredentials, now: datetime) -> dict[str, str]:
    """Return the headers that botocore's signer adds."""
    request = AWSRequest("POST", url, headers={"Content-Type": "application/json"}, data=body)
    full = Credentials(credentials.access_key or "", credentials.secret_key or "", credentials.token)
    with patch("botocore.auth.get_current_datetime", lambda: now):
        SigV4Auth(full, "ses", "eu-central-1").add_auth(request)
    return dict(request.headers.items())


class TestSigner:
    """The signer of one kind of request."""

    @given(
        scheme=st.sampled_from(["http", "https"]),
        host=_hosts,
        path=_paths,
        body=st.binary(min_size=1),
        key_id=_word,
        secret=_printable,
        token=st.none() | _printable,
        now=_times,
    )
    def test_headers_are_botocores(
        self, scheme: str, host: str, path: str, body: bytes, key_id: str, secret: str, token: str | None, now: datetime
    ) -> None:
        """For any endpoint, body, credentials and time, the headers are those of botocore's SigV4Auth."""
        url = f"{scheme}://{host}{path}/v2/email/outbound-emails"
        credentials = ReadOnlyCredentials(key_id, secret, token)

        ours = _signer(url).headers(body, credentials, now)

        del ours["Host"]  # botocore signs it too, but leaves adding it to the connection
        assert _by_botocore(url, body, credentials, now) == ours

    def test_another_day_or_secret_has_another_key(self) -> None:
        """The cached key is used only for the same day and secret."""
        signer = _signer()
        url = "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails"
        others = [
            (CREDENTIALS, NOW),
            (CREDENTIALS, NOW + timedelta(seconds=1)),
            (ReadOnlyCredentials("AKID", "rotated", None), NOW),
            (CREDENTIALS, NOW),
        ]

        for credentials, now in others:
            expected = _by_botocore(url, b"{}", credentials, now)
            assert expected["Authorization"] == signer.headers(b"{}", credentials, now)["Authorization"]

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://ses.example.com/x", "ses.example.com"),
            ("https://ses.example.com:443/x", "ses.example.com"),
            ("http://ses.example.com:443/x", "ses.example.com:443"),
            ("http://[::1]:8025/x", "[::1]:8025"),
        ],
    )
    def test_the_host_has_a_port_only_if_it_is_unusual(self, url: str, expected: str) -> None:
        """The signed Host header leaves out the default port of the scheme."""
        assert expected == _signer(url).headers(b"{}", CREDENTIALS, NOW)["Host"]
