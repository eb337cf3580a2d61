"""The endpoint that boto3 would send an e-mail to, and the way there."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.httpsession import get_cert_path

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

_BEFORE_SIGN = "before-sign.sesv2.SendEmail"
_SIGNATURE = "v4"


@dataclass(frozen=True)
class Endpoint:
    """Everything that a request needs except its e-mail and credentials."""

    url: str
    region: str
    signing_name: str
    user_agent: str
    tls: ssl.SSLContext
    proxy: str | None = None


def endpoint_of(client: SESV2Client) -> Endpoint:
    """
    Return where and how *client* would send, by all variables, files and rules for endpoints.

    Blocks for some milliseconds while trusted certificates load.

    Raises:
        OSError: AWS_CA_BUNDLE names no certificates.
        ValueError: the client would not sign with SigV4, the only signature supported here.
        botocore.exceptions.BotoCoreError: the endpoint is missing or wrong.
    """
    prepared = _prepared_by(client)
    http: Any = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001 - no public name for the proxies and certificates that it found
    return Endpoint(
        url=prepared.url,
        region=prepared.region,
        signing_name=prepared.signing_name,
        user_agent=prepared.user_agent,
        tls=ssl.create_default_context(cafile=get_cert_path(http._verify)),  # noqa: SLF001 - see above
        proxy=http._proxy_config.proxy_url_for(prepared.url),  # noqa: SLF001 - see above
    )


class _Prepared(Exception):
    """The client has prepared its request and is about to sign it."""

    def __init__(self, request: Any, region: str, signing_name: str) -> None:
        super().__init__()
        by_rules: Mapping[str, str] = request.context.get("signing", {})
        self.url: str = request.url
        self.user_agent: str = request.headers["User-Agent"]
        self.region = by_rules.get("region") or region
        self.signing_name = by_rules.get("signing_name") or signing_name


def _prepared_by(client: SESV2Client) -> _Prepared:
    """Have *client* prepare an e-mail, and stop it by an event before it looks for credentials."""

    def stop(request: Any, signing_name: str, region_name: str, signature_version: str, **_: Any) -> None:
        if signature_version != _SIGNATURE:
            raise ValueError(
                f"its requests would be signed with {signature_version!r}; only {_SIGNATURE!r} is supported."
            )
        raise _Prepared(request, region_name, signing_name)

    client.meta.events.register(_BEFORE_SIGN, stop)
    try:
        client.send_email(Content={"Simple": {"Subject": {"Data": ""}, "Body": {"Text": {"Data": ""}}}})
    except _Prepared as prepared:
        return prepared
    finally:
        client.meta.events.unregister(_BEFORE_SIGN, stop)
    raise ValueError("boto3's client did not sign its request.")
