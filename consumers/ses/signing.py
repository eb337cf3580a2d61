"""AWS Signature Version 4 for the one kind of request that sends an e-mail."""

from __future__ import annotations

import hmac
from datetime import datetime
from hashlib import sha256
from urllib.parse import quote, urlsplit

from botocore.credentials import ReadOnlyCredentials
from botocore.utils import normalize_url_path

from consumers.ses.endpoint import Endpoint

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Signer:
    """Signs POST requests with JSON to one endpoint. It derives each day's key once, which saves half of the work."""

    def __init__(self, endpoint: Endpoint) -> None:
        parts = urlsplit(endpoint.url)
        self._host = _host(endpoint.url)
        self._path = quote(normalize_url_path(parts.path), safe="/~")
        self._scope = f"{endpoint.region}/{endpoint.signing_name}/aws4_request"
        self._region, self._name = endpoint.region, endpoint.signing_name
        self._key_of: tuple[str, str] | None = None
        self._key = b""

    def headers(self, body: bytes, credentials: ReadOnlyCredentials, now: datetime) -> dict[str, str]:
        """Return the headers of a request with *body*, signed at *now* (UTC)."""
        time = now.strftime("%Y%m%dT%H%M%SZ")
        headers = {"Content-Type": "application/json", "Host": self._host, "X-Amz-Date": time}
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        scope = f"{time[:8]}/{self._scope}"
        names, canonical = self._canonical(headers, body)
        to_sign = f"{_ALGORITHM}\n{time}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key_for(time[:8], credentials.secret_key or ""), to_sign.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def _canonical(self, headers: dict[str, str], body: bytes) -> tuple[str, str]:
        """Return the names of the signed headers and the canonical request; *headers* are sorted by name."""
        names = ";".join(headers).lower()
        lines = "".join(f"{name.lower()}:{' '.join(value.split())}\n" for name, value in headers.items())
        return names, f"POST\n{self._path}\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"

    def _key_for(self, day: str, secret: str) -> bytes:
        if self._key_of != (day, secret):
            key = f"AWS4{secret}".encode()
            for step in (day, self._region, self._name, "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            self._key_of, self._key = (day, secret), key
        return self._key


def _host(url: str) -> str:
    """Return the Host header, which has a port only if it is not the default port of the scheme."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme):
        return host
    return f"{host}:{parts.port}"
