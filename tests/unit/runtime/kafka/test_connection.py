"""Settings turned into client arguments."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from runtime.kafka.connection import client_arguments
from runtime.settings import CommandSettings


def test_plaintext_needs_nothing_more() -> None:
    """By default a client is given the brokers and the protocol, and neither TLS nor a sign-in."""
    arguments = client_arguments(CommandSettings())

    assert ("127.0.0.1:9092", "PLAINTEXT") == (arguments["bootstrap_servers"], arguments["security_protocol"])
    assert not {"ssl_context", "sasl_mechanism"} & set(arguments)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize(("protocol", "tls"), [("SASL_PLAINTEXT", False), ("SASL_SSL", True)])
def test_sign_in(mechanism: str, protocol: str, *, tls: bool) -> None:
    """Under SASL the mechanism, the user and the password are handed on, with TLS where the protocol says so."""
    sign_in = {"kafka_sasl_username": "mailer", "kafka_sasl_password": "secret", "kafka_sasl_mechanism": mechanism}
    settings = CommandSettings.model_validate({"kafka_security_protocol": protocol, **sign_in})

    arguments = client_arguments(settings)

    given = (arguments["sasl_mechanism"], arguments["sasl_plain_username"], arguments["sasl_plain_password"])
    assert (mechanism, "mailer", "secret") == given
    assert tls == isinstance(arguments.get("ssl_context"), ssl.SSLContext)


def test_tls_checks_the_brokers() -> None:
    """Under TLS certificates and host names are checked."""
    context = client_arguments(CommandSettings(kafka_security_protocol="SSL"))["ssl_context"]

    assert (ssl.CERT_REQUIRED, True) == (context.verify_mode, context.check_hostname)


def test_an_unreadable_certificate_is_an_error(tmp_path: Path) -> None:
    """A file that holds no certificate is refused when the arguments are made, not at the first connection."""
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")

    with pytest.raises(ssl.SSLError):
        client_arguments(CommandSettings(kafka_security_protocol="SSL", kafka_ssl_cafile=nonsense))
