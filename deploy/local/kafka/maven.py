"""Resolve and download jars from Maven repositories with jgo, without Maven or Java.

Called from Python, jgo reads neither Maven's settings.xml nor its own list of repositories (tried). It takes the local
repository from M2_REPO or ~/.m2/repository, and proxies and certificates as `requests` does (HTTPS_PROXY,
REQUESTS_CA_BUNDLE). It also accepts a file that a kill cut off as complete. This module fixes both.
Only a start that has to download imports it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import jgo
from jgo.maven import PythonResolver

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = Path.home() / ".m2" / "settings.xml"
_MIRRORS_CENTRAL = {"*", "central", "external:*"}


class _Resolver(PythonResolver):
    """Download complete files or none, and report each jar."""

    def __init__(self, unfinished: Path, on_file: Callable[[str], object]) -> None:
        super().__init__()
        self._unfinished = unfinished
        self._on_file = on_file

    def download(self, artifact: Any) -> Path | None:
        if artifact.packaging == "jar":
            self._on_file(artifact.filename)
        self._unfinished.write_text(str(artifact.cached_path))
        path: Path | None = super().download(artifact)
        self._unfinished.unlink()
        return path


def resolve(endpoint: str, *, unfinished: Path, on_file: Callable[[str], object]) -> list[Path]:
    """Return the jars of *endpoint*, downloading what is missing.

    The file *unfinished* has the path of a download in progress, so that the next start can delete what a kill cut off.
    Raises the errors of jgo and requests.
    """
    if unfinished.exists():
        Path(unfinished.read_text()).unlink(missing_ok=True)
        unfinished.unlink()
    mirror = central_mirror(SETTINGS)
    environment = jgo.build(
        endpoint,
        repositories={"central": mirror} if mirror else None,
        resolver=_Resolver(unfinished, on_file),
    )
    return list(environment.all_jars)


def central_mirror(settings: Path) -> str | None:
    """Return the mirror of the central repository that Maven's *settings* name, if there is one."""
    if not settings.exists():
        return None
    root = ET.parse(settings).getroot()  # noqa: S314 - the user's own file, which Maven trusts, too
    for mirror in root.findall(".//{*}mirror"):
        mirrored = (mirror.findtext("{*}mirrorOf") or "").split(",")
        url = (mirror.findtext("{*}url") or "").strip()
        if url and mirror.findtext("{*}blocked") != "true" and _MIRRORS_CENTRAL & {name.strip() for name in mirrored}:
            return url.rstrip("/")
    return None


def without_credentials(text: str) -> str:
    """Remove user and password from the addresses in *text*."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)
