"""The findings that are worded alike for every question."""

from __future__ import annotations

from deploy.command.feedback_check.cloud import Refusal, Unanswered
from deploy.command.findings import Finding, State

TEMPLATE = "deploy/aws/feedback.yaml makes it"


def unanswered_finding(check: str, what: str, answer: Unanswered) -> Finding:
    """
    Return the finding about *what* could not be asked.

    Only something that is not there is a failure. Away from AWS there is nothing to mend.
    """
    if answer.refusal is Refusal.ELSEWHERE:
        return Finding(check, State.OK, f"not checked away from AWS: {what} ({answer.detail})")
    if answer.refusal is Refusal.DENIED:
        advice = "allow it, such as by the check's policy of deploy/aws/feedback.yaml, or ask somebody who may"
        return Finding(check, State.WARN, f"cannot check {what}: needs {answer.right}", advice)
    if answer.refusal is Refusal.MISSING:
        return Finding(check, State.FAIL, f"{what} does not exist in this region ({answer.detail})", TEMPLATE)
    advice = "check the region, the credentials and the way out to AWS"
    return Finding(check, State.WARN, f"cannot check {what}: {answer.right} failed ({answer.detail})", advice)
