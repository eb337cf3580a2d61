"""The file of the local SES's mails: what survives a restart, and what a fault of the file does not stop."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deploy.local.ses.mail_file import MailFile
from deploy.local.ses.mails import Mailbox, Report
from deploy.local.ses.outcomes import BOUNCE
from tests.unit.deploy.local.mails import mail


def mailbox(path: Path, *, keep: int = 10, faults: list[str] | None = None) -> Mailbox:
    """Return a mailbox with a file, as at the start of a local SES."""
    file = MailFile(path, on_fault=print if faults is None else faults.append)
    return Mailbox(keep=keep, keep_characters=1_000_000, file=file)


def subjects(box: Mailbox) -> list[str]:
    """Return the subjects of the kept mails, newest first."""
    return [kept.email.subject for kept in box.newest_first()]


def test_mails_survive_a_restart(tmp_path: Path) -> None:
    """After a restart a mail is what it was: its content, its reports, its read mark, and its place in the list."""
    path = tmp_path / "new folder" / "mails.sqlite3"
    first = mailbox(path)
    mails = [mail(number, subject=f"Grüße {number}") for number in (3, 1, 2)]
    for one in mails:
        first.add(one)
    first.add_report(mails[0].message_id, Report(BOUNCE, 1_796_000_100.5, ["mentor-003@example.org"], "feedback-1"))
    first.mark(mails[1], read=True)
    first.close()

    second = mailbox(path)

    assert mails[::-1] == second.newest_first()
    assert (2, None) == (second.unread, second.fault)


def test_changes_are_in_the_file_at_once(tmp_path: Path) -> None:
    """A mail is in the file when it is accepted: nothing is lost with a process that is killed."""
    path = tmp_path / "mails.sqlite3"
    killed = mailbox(path)
    killed.add(mail(1))
    copy = tmp_path / "copy.sqlite3"
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())

    assert ["Mail 1"] == subjects(mailbox(copy))


def test_removed_mails_do_not_come_back(tmp_path: Path) -> None:
    """A deleted mail, and one that made room for newer ones, is gone after a restart; so are all after a clear."""
    path = tmp_path / "mails.sqlite3"
    first = mailbox(path, keep=3)
    for number in range(5):
        first.add(mail(number))
    first.remove(mail(3).message_id)
    first.close()
    second = mailbox(path)
    left = subjects(second)
    second.clear()
    second.close()

    assert ["Mail 4", "Mail 2"] == left
    assert [] == subjects(mailbox(path))


def test_a_smaller_mailbox_takes_the_newest(tmp_path: Path) -> None:
    """A start that keeps fewer mails takes the newest, and the file has no others."""
    path = tmp_path / "mails.sqlite3"
    first = mailbox(path)
    for number in range(5):
        first.add(mail(number))
    first.close()
    second = mailbox(path, keep=2)
    kept = subjects(second)
    second.close()

    assert ["Mail 4", "Mail 3"] == kept
    assert kept == subjects(mailbox(path))


def garbage(path: Path) -> None:
    """Make a file that is no database."""
    path.write_bytes(b"not a database, but long enough to be looked at" * 50)


def folder(path: Path) -> None:
    """Make a folder in the file's place."""
    path.mkdir()


def other_version(path: Path) -> None:
    """Make a file of a later version."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def other_form(path: Path) -> None:
    """Make a file with a mail that has another form."""
    mailbox(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO mails (message_id, mail) VALUES ('1', '{}')")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (garbage, "file is not a database. Delete it, and start again."),
        (folder, "unable to open database file. Delete it, and start again."),
        (other_version, "another version of the local SES wrote it. Delete it, and start again."),
        (other_form, "Object missing required field `message_id`. Delete it, and start again."),
    ],
)
def test_an_unreadable_file_stops_nothing(tmp_path: Path, make: object, said: str) -> None:
    """If the file cannot be read, that is said once, with what to do; mails are kept in memory all the same."""
    assert callable(make)
    path = tmp_path / "mails.sqlite3"
    make(path)
    faults: list[str] = []

    box = mailbox(path, faults=faults)
    for number in (1, 2):
        box.add(mail(number))

    assert [f"Mails are not kept over a restart: {path}: {said}"] == faults
    assert faults == [box.fault]
    assert ["Mail 2", "Mail 1"] == subjects(box)


def test_a_file_in_use_is_left_alone(tmp_path: Path) -> None:
    """A second local SES does not share the file of the first, and neither of them stops."""
    path = tmp_path / "mails.sqlite3"
    first, second = mailbox(path), mailbox(path)
    for box in (first, second):
        box.add(mail(1))

    expected = f"Mails are not kept over a restart: {path}: database is locked. Stop the other local SES that uses it."
    assert (None, expected) == (first.fault, second.fault)
    assert ["Mail 1"] == subjects(second)


def test_a_mail_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """A text that no file can hold is kept in memory, and the page says that it will be missing."""
    box = mailbox(tmp_path / "mails.sqlite3")
    box.add(mail(1, subject="half a pair: \ud800"))
    box.add(mail(2))

    assert 2 == len(box)
    assert (box.fault or "").startswith("Changes of the mailbox will be missing after a restart: ")
