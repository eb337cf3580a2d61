"""What the image has, and what it does without."""

from __future__ import annotations

import json
import re
import tarfile
from datetime import UTC, datetime
from io import BytesIO
from textwrap import dedent
from typing import Any

import pytest
from docker import DockerClient  # it ships no types
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from consumers.notices.locales import locale_format_of
from deploy.image.slim import CLIENTS, CREDENTIALS
from tests.containers.images import REVISION, Images
from tests.containers.network import HARDENED
from tests.processes import ROOT

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]  # the first test waits until all images are built

SBOM = "/opt/pause-notifications/sbom.cdx.json"
LEFT_OUT = {"pygments"}
MOST_BYTES = 115_000_000  # beside the base; measured: 100 million
_MARKERS = """
    import platform, sys
    version = platform.python_version()
    found = {
        "python_full_version": version,
        "python_version": version.rpartition(".")[0],
        "sys_platform": sys.platform,
        "platform_system": platform.system(),
        "platform_machine": platform.machine(),
    }
"""
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\$", re.MULTILINE)


def _content(engine: DockerClient, image: str, path: str) -> bytes:
    """Return a file of the image. What a container prints is no way: the engine may cut the end of a long output."""
    container = engine.containers.create(image)
    try:
        chunks, _ = container.get_archive(path)
        with tarfile.open(fileobj=BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            assert file is not None
            return file.read()
    finally:
        container.remove()


def _python(engine: DockerClient, image: str, code: str) -> Any:
    """Run *code* with the image's Python, without a network, and return what it assigns to `found`."""
    program = f"import json\n{dedent(code)}\nprint(json.dumps(found))"
    return json.loads(_printed(engine, image, "python", "-c", program))


def _printed(engine: DockerClient, image: str, *command: str) -> bytes:
    printed: bytes = engine.containers.run(image, list(command), network_mode="none", remove=True, **HARDENED)
    return printed


def test_runs_as_nobody_who_may_write(engine: DockerClient, built: Images) -> None:
    """The image's user is a number that is not root, and the programs need no file that can be written."""
    code = """
        import os
        found = [os.getuid(), os.getgid(), os.access("/opt/pause-notifications", os.W_OK)]
    """

    assert "10001:10001" == engine.images.get(built.program).attrs["Config"]["User"]
    assert [10001, 10001, False] == _python(engine, built.program, code)


def test_labels(engine: DockerClient, built: Images) -> None:
    """The labels name the image, and the revision that it was built from."""
    labels = engine.images.get(built.program).labels

    assert "pause-notifications" == labels["org.opencontainers.image.title"]
    assert REVISION == labels["org.opencontainers.image.revision"]


def test_lists_each_locked_package(engine: DockerClient, built: Images) -> None:
    """The list of packages has ours and exactly those of the lock, in these versions, but for what is left out."""
    here = _python(engine, built.program, _MARKERS)
    locked = {
        canonicalize_name(pin["name"]): pin["version"]
        for pin in _PIN.finditer((ROOT / "requirements.lock").read_text(encoding="utf-8"))
        if pin["marker"] is None or Marker(pin["marker"]).evaluate(here)
    }
    listed = json.loads(_content(engine, built.program, SBOM))

    packages = {canonicalize_name(one["name"]): one["version"] for one in listed["components"]}

    assert "CycloneDX" == listed["bomFormat"]
    assert "pause-notifications" == listed["metadata"]["component"]["name"]
    assert {name: version for name, version in locked.items() if name not in LEFT_OUT} == packages
    assert set() == LEFT_OUT - set(locked)


def test_keeps_the_services_of_aws_that_are_called(engine: DockerClient, built: Images) -> None:
    """Of boto3's services those stay that are called, and their clients can be built."""
    code = """
        import boto3
        session = boto3.Session(region_name="eu-central-1")
        clients = [session.client(name) for name in session.get_available_services()]
        found = [client.meta.service_model.service_name for client in clients]
    """

    assert sorted([*CLIENTS, *CREDENTIALS]) == sorted(_python(engine, built.program, code))


def test_writes_dates_as_before(engine: DockerClient, built: Images) -> None:
    """Dates are the same as with all of Babel's locales, also for contacts whose language has no notices."""
    tags = ("en", "en-GB", "en-US", "de", "de-AT", "de-CH", "fr", "sv-SE", "zh-Hant-TW", "no", "xx")
    code = f"""
        from datetime import UTC, datetime
        from consumers.notices.locales import locale_format_of
        instant = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)
        found = [locale_format_of(tag, "Asia/Tokyo").moment(instant) for tag in {tags}]
    """
    instant = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)

    expected = [list(locale_format_of(tag, "Asia/Tokyo").moment(instant)) for tag in tags]

    assert expected == _python(engine, built.program, code)


def test_leaves_out_what_is_not_needed(engine: DockerClient, built: Images) -> None:
    """There is no installer, no command but ours and Python, nothing of the local SES, and the size has a limit."""
    code = """
        import os
        from importlib.util import find_spec
        modules = [name for name in ("pip", "pygments", "deploy.local", "tests") if find_spec(name)]
        found = [modules, sorted(os.listdir("/opt/pause-notifications/bin"))]
    """

    modules, commands = _python(engine, built.program, code)

    size = engine.images.get(built.program).attrs["Size"] - engine.images.get(built.base).attrs["Size"]
    assert [] == modules
    assert "pause-notifications" == commands[0]
    assert [] == [name for name in commands[1:] if not name.startswith("python")]
    assert size < MOST_BYTES
