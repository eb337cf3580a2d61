"""The endpoint, compared with the one of boto3's client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import DEFAULT_CA_BUNDLE

from consumers.ses.boto_client import ses_client
from consumers.ses.endpoint import Endpoint, endpoint_of

PATH = "/v2/email/outbound-emails"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove everything from the environment that boto3 reads."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def _found(region: str | None = None) -> Endpoint:
    """Resolve without credentials."""
    client = ses_client(timeout_seconds=1, max_in_flight=1, session=boto3.Session(region_name=region))
    try:
        return endpoint_of(client)
    finally:
        client.close()


class _Stopped(Exception):
    """A request was about to be sent."""


def _sent_by_boto3() -> tuple[str, str]:
    """Return URL and scope of a request of boto3's client, just before it is sent."""

    def stop(request: Any, **_: Any) -> None:
        """Keep it from being sent."""
        raise _Stopped(request.url, request.headers["Authorization"].decode())

    client = ses_client(timeout_seconds=1, max_in_flight=1, session=boto3.Session("AKID", "secret"))
    client.meta.events.register("before-send.sesv2.SendEmail", stop)
    with pytest.raises(_Stopped) as seen:
        client.send_email(Content={"Simple": {"Subject": {"Data": ""}, "Body": {}}})
    client.close()
    url, authorization = seen.value.args
    return url, authorization.split("/", 2)[2].partition("/aws4_request")[0]


class TestEndpoint:
    """The endpoint is boto3's."""

    @pytest.mark.parametrize(
        ("environment", "url"),
        [
            ({}, "https://email.eu-central-1.amazonaws.com"),
            ({"AWS_DEFAULT_REGION": "us-gov-west-1"}, "https://email.us-gov-west-1.amazonaws.com"),
            ({"AWS_DEFAULT_REGION": "cn-north-1"}, "https://email.cn-north-1.amazonaws.com.cn"),
            ({"AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"}, None),
            ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, None),
            ({"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_USE_FIPS_ENDPOINT": "true"}, None),
            ({"AWS_ENDPOINT_URL": "http://127.0.0.1:8025"}, "http://127.0.0.1:8025"),
            (
                {"AWS_ENDPOINT_URL": "http://no.example", "AWS_ENDPOINT_URL_SESV2": "http://a.example"},
                "http://a.example",
            ),
            ({"AWS_ENDPOINT_URL_SESV2": "https://gateway.example.com/ses/"}, None),
            ({"AWS_ENDPOINT_URL_SESV2": "http://a.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, None),
        ],
    )
    def test_it_is_where_boto3_sends(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str | None
    ) -> None:
        """URL, region and service are those of boto3's client, whatever the AWS variables are."""
        for name, value in {"AWS_DEFAULT_REGION": "eu-central-1", **environment}.items():
            monkeypatch.setenv(name, value)

        found = _found()

        expected_url, scope = _sent_by_boto3()
        assert expected_url == found.url
        assert scope == f"{found.region}/{found.signing_name}"
        if url is not None:
            assert url + PATH == found.url

    def test_a_profile_counts(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Region and endpoint of a profile in the AWS configuration file count."""
        (tmp_path / "config").write_text(
            "[profile mail]\nregion = eu-west-3\nservices = s\n[services s]\nsesv2 =\n  endpoint_url = http://b.example\n"
        )
        monkeypatch.setenv("AWS_PROFILE", "mail")

        found = _found()

        assert "http://b.example" + PATH == found.url
        assert "eu-west-3" == found.region

    def test_no_region_is_refused(self) -> None:
        """Without a region there is no endpoint."""
        with pytest.raises(BotoCoreError):
            _found()


class TestProxy:
    """The proxy is the one that boto3 finds."""

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({}, None),
            ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
            ({"https_proxy": "proxy.example:3128"}, "http://proxy.example:3128"),
            ({"HTTP_PROXY": "http://proxy.example:3128"}, None),
            ({"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": ".amazonaws.com"}, None),
        ],
    )
    def test_it_comes_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str | None
    ) -> None:
        """The proxy for the scheme of the endpoint counts, unless NO_PROXY names the endpoint."""
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        assert expected == _found("eu-central-1").proxy


class TestCertificates:
    """The certificates that are trusted."""

    def test_they_are_those_that_boto3_trusts(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """AWS_CA_BUNDLE replaces the roots of boto3; host names are checked either way."""
        usual = _found("eu-central-1").tls
        first, end, _ = Path(DEFAULT_CA_BUNDLE).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----\n")
        (tmp_path / "own.pem").write_text(first + end, encoding="utf-8")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "own.pem"))

        own = _found("eu-central-1").tls

        assert 1 == len(own.get_ca_certs())
        assert len(usual.get_ca_certs()) > 50
        assert usual.check_hostname
        assert own.check_hostname

    def test_a_missing_bundle_is_refused_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong AWS_CA_BUNDLE stops the start instead of every e-mail."""
        monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent.pem")

        with pytest.raises(FileNotFoundError):
            _found("eu-central-1")
