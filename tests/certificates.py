"""Certificates for tests, from the openssl command: a root, and the certificates it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_SECONDS = 30.0


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, each a PEM file, and both in one."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """A root certificate for one run of the tests; its files are in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = directory / "root.key"
        self.root = directory / "root.pem"
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 accepts no root without it
        subject = ("-subj", "/CN=Root of the tests")
        _openssl("req", "-x509", *_KEY, *subject, *usage, "-keyout", self._key, "-out", self.root)
        (directory / "index").touch()
        (directory / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=this\n[this]\ndatabase={directory}/index\nnew_certs_dir={directory}\n"
            f"rand_serial=yes\ndefault_md=sha256\npolicy=any\ncopy_extensions=copy\n"
            "x509_extensions=issued\n[any]\ncommonName=supplied\n"
            "[issued]\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )

    def issue(self, name: str, *names: str, ended: bool = False) -> Certificate:
        """Issue a certificate for *names* (DNS:..., IP:...), which has *ended* long ago or begins now."""
        key, request, certificate = (self._directory / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        both = self._directory / f"{name}.both.pem"
        subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={','.join(names)}")
        _openssl("req", "-new", *_KEY, *subject, "-keyout", key, "-out", request)
        span = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z") if ended else ("-days", "2")
        signing = ("-config", self._directory / "ca.cnf", "-keyfile", self._key, "-cert", self.root)
        _openssl("ca", "-batch", "-notext", *signing, *span, "-in", request, "-out", certificate)
        both.write_text(key.read_text() + certificate.read_text())
        return Certificate(certificate, key, both)


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"openssl {arguments[0]}: {done.stderr}"
