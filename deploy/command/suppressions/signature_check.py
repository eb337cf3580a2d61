"""The check of `doctor` that our list stays when a signing key is removed."""

from __future__ import annotations

from aiokafka.errors import KafkaError

from deploy.command.findings import Finding, State
from deploy.command.suppressions.signatures import Signatures, key_ids, read_signatures
from deploy.support.running import explain
from runtime.environment import InvalidSettings
from runtime.kafka.topics import UnfitTopics
from runtime.settings import Settings
from runtime.signing_keys import read_signing_keys
from schemas.signatures import SigningKeys

_SIGN = "pause-notifications suppressions sign"
_SYNC = "pause-notifications suppressions sync"


async def check_signatures(settings: Settings) -> list[Finding]:
    """Read our list, and return the findings; none if the keys cannot be read, which is a finding of its own."""
    try:
        keys, found = read_signing_keys(settings), await read_signatures(settings)
    except InvalidSettings:
        return []
    except (KafkaError, UnfitTopics, OSError) as error:
        return [_finding(State.FAIL, f"they could not be read: {await explain(error, settings)}")]
    return signature_findings(found, keys)


def signature_findings(found: Signatures, keys: SigningKeys) -> list[Finding]:
    """Return the findings about the keys that signed our list."""
    findings = []
    if found.unknown:
        count, ids = sum(found.unknown.values()), key_ids([*found.unknown])
        detail = f"{count} are signed by unknown keys and do not count, so those contacts may get e-mail: {ids}"
        findings.append(_finding(State.FAIL, detail, f"put the key back below the first one, then: {_SIGN}"))
    if found.unproven:
        detail = f"{found.unproven} have no valid signature and do not count"
        advice = f"add them again, or bring back what is on SES's list: {_SYNC}; then: {_SIGN} --drop-unproven"
        findings.append(_finding(State.WARN, detail, advice))
    if again := len(found.to_sign()):
        detail = f"{again} would not count if another key than the first one were removed, or may be compacted away"
        findings.append(_finding(State.WARN, detail, _SIGN))
    if found.has_signed and not keys:
        detail = "they are signed, and there are no keys here to check them"
        findings.append(_finding(State.WARN, detail, "set the keys that the replicas have"))
    signed = f", all signed by {keys.ids[0]}" if keys and len(found) else ""
    return findings or [_finding(State.OK, f"{len(found)} known{signed}")]


def _finding(state: State, detail: str, advice: str = "") -> Finding:
    return Finding("suppressions", state, detail, advice)
