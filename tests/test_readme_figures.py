from __future__ import annotations

from pathlib import Path

import pytest

from tests.readme import put


def test_figures_are_put_between_their_marks(tmp_path: Path) -> None:
    """The text between the marks of a kind is replaced, and nothing else."""
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- x figures -->\nold\n<!-- end of x figures -->\nb\n")

    put(readme, "x", "new \\1\n")

    assert "a\n<!-- x figures -->\nnew \\1\n<!-- end of x figures -->\nb\n" == readme.read_text()


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    """Figures without a place raise an error."""
    readme = tmp_path / "README.md"
    readme.write_text("a\n")

    with pytest.raises(ValueError, match="no marks for x figures"):
        put(readme, "x", "new\n")
