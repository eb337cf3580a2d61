"""`pause-notifications controls`: what is in force for all replicas."""

from __future__ import annotations

import msgspec
from aiokafka.errors import KafkaError

from deploy.command.controls.stored import Stored, read_stored, stored_controls
from deploy.command.controls.wording import finding, undo, until, what
from deploy.command.findings import Finding, State
from deploy.support.output import print_json, print_table, print_text
from deploy.support.running import explain
from runtime.environment import InvalidSettings
from runtime.kafka.topics import UnfitTopics
from runtime.settings import Settings
from schemas.signatures import Proof
from schemas.times import format_seconds


def controls(*, as_json: bool) -> None:
    """Show what operators have put in force."""
    found = read_stored().in_force()
    if as_json:
        for one in found:
            print_json({**msgspec.to_builtins(one), "undo": undo(one)})
    elif not found:
        print_text("no controls are in force")
    else:
        print_table(
            ("what", "until", "by", "since", "reason", "undo"),
            [(what(one), until(one), one.by, format_seconds(one.at), one.reason, undo(one)) for one in found],
        )


async def check_controls(settings: Settings) -> list[Finding]:
    """Return the findings of `doctor`: a warning for each control in force."""
    try:
        stored = await stored_controls(settings)
    except InvalidSettings:
        return []  # a finding of its own
    except (KafkaError, UnfitTopics, OSError) as error:
        return [Finding("controls", State.FAIL, f"they could not be read: {await explain(error, settings)}")]
    return control_findings(stored)


def control_findings(stored: Stored) -> list[Finding]:
    """Return a finding for each control in force, and for records that do not count."""
    findings = [finding(one) for one in stored.in_force()]
    if of_unknown_keys := list(stored.left_out.values()).count(Proof.UNKNOWN_KEY):
        detail = f"{of_unknown_keys} are signed by a key that is not known here, and are not in force"
        findings.append(Finding("controls", State.FAIL, detail, "put the key back, or put them in force again"))
    if others := len(stored.left_out) - of_unknown_keys:
        detail, advice = f"{others} records do not count", "see who may write to the topic: only operators should"
        findings.append(Finding("controls", State.WARN, detail, advice))
    return findings or [Finding("controls", State.OK, "none are in force")]
