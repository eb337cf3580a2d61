"""`python -m service`."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.__main__ import main


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help describes the program and every setting that it reads."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"], {})

    printed = capsys.readouterr().out
    assert 0 == ended.value.code
    assert "PAUSE_NOTIFICATIONS_REPLY_TIMEOUT_SECONDS" in printed
    assert "/docs" in printed


def test_unusable_api_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of API keys that cannot be used stops the start, naming the setting."""
    file = tmp_path / "keys"
    file.write_text("nothing")

    code = main([], {"PAUSE_NOTIFICATIONS_API_KEYS_FILE": str(file)})

    assert 2 == code
    assert "PAUSE_NOTIFICATIONS_API_KEYS_FILE" in capsys.readouterr().err
