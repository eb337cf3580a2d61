from __future__ import annotations

from typing import TYPE_CHECKING

import jgo
import pytest

from deploy.local.kafka import maven

if TYPE_CHECKING:
    from pathlib import Path


def settings(directory: Path, *mirrors: str) -> Path:
    """Write a Maven settings file with *mirrors*."""
    file = directory / "settings.xml"
    listed = "".join(f"<mirror>{mirror}</mirror>" for mirror in mirrors)
    file.write_text(f'<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"><mirrors>{listed}</mirrors></settings>')
    return file


@pytest.mark.parametrize("mirrored", ["*", "central", "external:*", "other, central"])
def test_a_mirror_of_central_is_used(tmp_path: Path, mirrored: str) -> None:
    """The mirror of the central repository in Maven's settings is used here, too."""
    file = settings(tmp_path, f"<mirrorOf>{mirrored}</mirrorOf><url>https://mirror.example/maven/</url>")

    assert maven.central_mirror(file) == "https://mirror.example/maven"


@pytest.mark.parametrize(
    "mirror",
    [
        "<mirrorOf>other</mirrorOf><url>https://mirror.example</url>",
        "<mirrorOf>*</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked>",
        "<mirrorOf>*</mirrorOf>",
    ],
)
def test_other_mirrors_are_not(tmp_path: Path, mirror: str) -> None:
    """A mirror of another repository, a blocked one, or one without an address is ignored."""
    assert maven.central_mirror(settings(tmp_path, mirror)) is None


def test_without_settings_there_is_no_mirror(tmp_path: Path) -> None:
    """Without a settings file the central repository itself is used."""
    assert maven.central_mirror(tmp_path / "settings.xml") is None


def test_a_partly_downloaded_file_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose download was killed is deleted, because jgo would accept it as complete."""
    half, unfinished = tmp_path / "half.jar", tmp_path / "unfinished"
    half.write_bytes(b"PK")
    unfinished.write_text(str(half))
    seen: list[bool] = []

    def build(_endpoint: str, **_: object) -> jgo.env.Environment:
        seen.append(half.exists())
        return jgo.env.Environment(tmp_path)

    monkeypatch.setattr(jgo, "build", build)

    assert maven.resolve("a:b:1", unfinished=unfinished, on_file=lambda _: None) == []
    assert [False] == seen
    assert not unfinished.exists()
