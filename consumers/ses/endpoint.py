"""Where SendEmail goes and by which way, as boto3 would have it."""

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
    """All that a request needs but its e-mail and credentials."""

    url: str
    region: str
    signing_name: str
    user_agent: str
    tls: ssl.SSLContext
    proxy: str | None = None


def endpoint_of(client: SESV2Client) -> Endpoint:
    """
    Ask *client* where and how it would send, which is all that endpoint variables, files and rules come to.

    Blocks for some milliseconds, which trusted certificates take to load.

    Raises:
        OSError: where AWS_CA_BUNDLE names no certificates.
        ValueError: where the client would not sign by SigV4, the only signature known here.
        botocore.exceptions.BotoCoreError: where the endpoint is missing or wrong.
    """
    prepared = _prepared_by(client)
    http: Any = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001 - nowhere else does it say which proxies and certificates it found
    return Endpoint(
        url=prepared.url,
        region=prepared.region,
        signing_name=prepared.signing_name,
        user_agent=prepared.user_agent,
        tls=ssl.create_default_context(cafile=get_cert_path(http._verify)),  # noqa: SLF001 - see above
        proxy=http._proxy_config.proxy_url_for(prepared.url),  # noqa: SLF001 - see above
    )


class _Prepared(Exception):
    """The client got as far as signing, and need go no further."""

    def __init__(self, request: Any, region: str, signing_name: str) -> None:
        super().__init__()
        of_rules: Mapping[str, str] = request.context.get("signing", {})
        self.url: str = request.url
        self.user_agent: str = request.headers["User-Agent"]
        self.region = of_rules.get("region") or region
        self.signing_name = of_rules.get("signing_name") or signing_name


def _prepared_by(client: SESV2Client) -> _Prepared:
    """Have *client* make out an e-mail, and stop it by its own event before it looks for credentials."""

    def stop(request: Any, signing_name: str, region_name: str, signature_version: str, **_: Any) -> None:
        if signature_version != _SIGNATURE:
            raise ValueError(f"its requests would be signed by {signature_version!r}, where {_SIGNATURE!r} is known.")
        raise _Prepared(request, region_name, signing_name)

    client.meta.events.register(_BEFORE_SIGN, stop)
    try:
        client.send_email(Content={"Simple": {"Subject": {"Data": ""}, "Body": {"Text": {"Data": ""}}}})
    except _Prepared as prepared:
        return prepared
    finally:
        client.meta.events.unregister(_BEFORE_SIGN, stop)
    raise ValueError("boto3's client did not sign its request.")
