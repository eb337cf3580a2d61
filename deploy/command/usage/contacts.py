"""`pause-notifications contacts`: load, list and show contacts, and forget one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.command.examples import examples
from deploy.command.noun import Noun, Work

ShowAddresses = Annotated[
    bool, typer.Option("--addresses", help="Show addresses, too. They are personal data: mind who sees your screen.")
]

app = Noun("Load, list and show contacts, and forget one.")


@app.command()
@examples(
    '{"id":"mentor-042","role":"mentor","email":"mentor-042@example.org","name":"Amara Diallo",',
    ' "locale":"en","timezone":"Europe/Berlin","coordinator_id":"coordinator-007"}     (on one line)',
    "pause-notifications contacts load contacts.jsonl",
)
def load(
    file: Annotated[Path, typer.Argument(help="JSON Lines, one contact per line; - reads standard input.")],
) -> Work:
    """
    Publish a file of contacts; each replaces the contact with the same id.

    The whole file is checked first. If a line is invalid, nothing is published, and the first ten such lines are listed
    with their fields. Replicas know a contact seconds later. Contacts that are not in the file stay as they are (see
    contacts forget).

    You can stop it with Ctrl-C and run it again. It prints how many were published; these are not changed by a second
    run.
    """
    from deploy.command import contacts

    return lambda: contacts.load(file)


@app.command("list")
@examples(
    "pause-notifications contacts list --problems",
    "pause-notifications contacts list --coordinator coordinator-007 --json",
)
def list_contacts(
    *,
    problems: Annotated[bool, typer.Option("--problems", help="Only contacts that something is wrong with.")] = False,
    coordinator: Annotated[str | None, typer.Option(metavar="ID", help="Only the mentors of this coordinator.")] = None,
    addresses: ShowAddresses = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per contact.")] = False,
) -> Work:
    """List the contacts as the replicas know them, and what is wrong with each."""
    from deploy.command import contacts

    return lambda: contacts.list_contacts(
        problems=problems, coordinator=coordinator, addresses=addresses, as_json=as_json
    )


@app.command()
@examples("pause-notifications contacts show mentor-042 --addresses")
def show(
    contact_id: Annotated[str, typer.Argument(metavar="ID", help="The contact's id.")],
    *,
    addresses: ShowAddresses = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> Work:
    """Show one contact as the replicas know it. The exit code is 1 if the id is not known."""
    from deploy.command import contacts

    return lambda: contacts.show(contact_id, addresses=addresses, as_json=as_json)


@app.command()
def forget(contact_id: Annotated[str, typer.Argument(metavar="ID", help="The contact's id.")]) -> Work:
    """
    Forget one contact: events about this mentor then end as unknown_mentor.

    The contact gets no more e-mail, at once. Its data is gone from Kafka within two days, if contacts are written in
    that time: Kafka compacts a part of a topic only after a later record. So load contacts daily, or forget the contact
    again the next day. The doctor command warns if an address is left. An unknown id is not an error.
    """
    from deploy.command import contacts

    return lambda: contacts.forget(contact_id)
