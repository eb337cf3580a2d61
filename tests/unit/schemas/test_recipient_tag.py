"""The tag of a recipient at SES."""

from __future__ import annotations

import re

import pytest

from schemas.feedback import recipient_tag


@pytest.mark.parametrize("contact_id", ["mentor-042", "a" * 256, "A_9"])
def test_a_fitting_id_is_its_own_tag(contact_id: str) -> None:
    """An id that SES allows in tags stays readable."""
    assert contact_id == recipient_tag(contact_id)


@pytest.mark.parametrize("contact_id", ["mentor:042", "ada@example.org", "a" * 257, "büro", "a\n", ""])
def test_any_other_id_is_hashed(contact_id: str) -> None:
    """An id that SES would refuse becomes a hash that it accepts."""
    assert re.fullmatch(r"sha256-[0-9a-f]{64}", recipient_tag(contact_id))


def test_hashed_tags_tell_ids_apart() -> None:
    """Two ids have different tags."""
    assert recipient_tag("mentor:042") != recipient_tag("mentor:043")
