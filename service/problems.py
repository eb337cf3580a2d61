"""Every problem that a caller may be told of (RFC 9457): its type, status and text, each in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROBLEMS_PATH = "/problems"
PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """One kind of problem; *slug* is stable, since callers tell problems apart by it."""

    slug: str
    status: int
    title: str
    text: str
    """What it means and what to do, for the page of its type."""

    @property
    def uri(self) -> str:
        """Return the `type` of the problem, which is also the address of its page."""
        return f"{PROBLEMS_PATH}/{self.slug}"


class Problem(Exception):
    """An answer that is a problem: raised or returned, and written by `service.rendering`."""

    def __init__(
        self, kind: ProblemType, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(f"{kind.slug}: {detail}")
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members
        """Further members of the body: dispatch_id, errors, notifications_dispatched."""


def problem_body(problem: Problem, *, trace_id: str, prefix: str = "") -> dict[str, Any]:
    """Return the body of a problem: RFC 9457's members, then ours."""
    return {
        "type": prefix + problem.kind.uri,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "trace_id": trace_id,
        **problem.members,
    }


NOT_JSON = ProblemType(
    "not-json",
    400,
    "The body is not JSON",
    "The body must be one JSON document in UTF-8: no NaN, no name twice in one object, no half of a surrogate pair, "
    "no thousandfold nesting.",
)
INVALID_PATH = ProblemType(
    "invalid-path",
    400,
    "The path can be read in two ways",
    "A path holds no encoded slash (`%2F`), backslash or NUL. Behind a proxy that strips a prefix, "
    "`X-Forwarded-Prefix` is one path and comes from the proxy alone.",
)
INVALID_KEY = ProblemType(
    "invalid-key",
    400,
    "The Idempotency-Key is not one",
    "An Idempotency-Key is 1 to 255 printable ASCII characters, bare or in double quotes, given once.",
)
UNKNOWN_API_KEY = ProblemType(
    "unknown-api-key",
    401,
    "An API key is needed",
    "This service asks for an API key: `Authorization: Bearer KEY`, or `X-API-Key: KEY`. Ask its operators for one.",
)
TOO_MANY_WRONG_KEYS = ProblemType(
    "too-many-wrong-keys",
    429,
    "Too many calls without a known API key",
    "Many calls from this address had no API key, or one that is not known. Wait as long as `Retry-After` says, or use "
    "a right key: calls with one are answered all the same.",
)
NO_SUCH_ENDPOINT = ProblemType(
    "no-such-endpoint",
    404,
    "There is no such endpoint",
    "The path is none of this service's. Its endpoints are listed in the detail, and described at /docs.",
)
UNKNOWN_MENTOR = ProblemType(
    "unknown-mentor",
    404,
    "The mentor is not known",
    "No contact with this mentor_id was known when the event was seen through, so nobody was told. The event is kept "
    "as a dead letter; once the contact is known, repeat the call with the same Idempotency-Key, or make it anew.",
)
NO_SUCH_DISPATCH = ProblemType(
    "no-such-dispatch",
    404,
    "There is no such dispatch",
    "No event of this dispatch lies where `at` points to, or not any more, or the id or `at` is malformed, which the "
    "detail says. Use the Location of the 202 as it is. Where API keys are asked for, a dispatch of another caller, or "
    "of another service's event, is answered in the same way; an operator's key reads all.",
)
NOT_LATELY_SEEN = ProblemType(
    "not-lately-seen",
    404,
    "The dispatch was not lately seen",
    "Without `at` a facade answers only for a bounded number of dispatches that it has lately seen, and only those of "
    "the caller's own. This says nothing of whether the dispatch exists: ask again with the `at` of the Location that "
    "came with the 202.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed", 405, "Not this method", "The path exists, but takes only the methods that Allow lists."
)
TOO_SLOW = ProblemType(
    "too-slow", 408, "The body did not arrive", "The body must arrive within some seconds. Nothing was published."
)
TOO_LARGE = ProblemType("too-large", 413, "The body is too large", "A body may be at most 64 KiB.")
UNSUPPORTED_CONTENT_TYPE = ProblemType(
    "unsupported-content-type",
    415,
    "The body is stated to be no plain JSON",
    "Bodies are application/json in UTF-8, without a content encoding. A body of no stated type is read as that, "
    "unless no API keys are asked for and the call comes from a web page (it has `Origin`, or a `Sec-Fetch-Site` other "
    "than `none` and `same-origin`): any page can send such a body here without asking. "
    "Some clients state a type unasked (`curl -d`: application/x-www-form-urlencoded): "
    "state `Content-Type: application/json`.",
)
INVALID_REQUEST = ProblemType(
    "invalid-request",
    422,
    "The body does not fit the contract",
    "Fields are missing or wrong; `errors` names each by a JSON pointer. Nothing was published.",
)
KEY_REUSED = ProblemType(
    "key-reused",
    422,
    "The Idempotency-Key was used for other content",
    "An event with this Idempotency-Key and mentor is known with other content. It stands as it was; this one is "
    "not dispatched. Use a new key for new content.",
)
UNDELIVERABLE = ProblemType(
    "undeliverable",
    422,
    "No recipient can be told",
    "Every recipient was refused for good (no address, or the e-mail provider rejects the message); the list says why. "
    "The event is kept as a dead letter.",
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "An error of this service",
    "Something is wrong here. Quote the trace_id. Where the call had an Idempotency-Key it is safe to repeat.",
)
NOT_DELIVERED = ProblemType(
    "not-delivered",
    502,
    "No recipient could be told",
    "Every recipient failed, and at least one for a cause that may pass. The event is kept as a dead letter. "
    "Repeating the call with the same Idempotency-Key tries again.",
)
NOT_PUBLISHED = ProblemType(
    "not-published",
    503,
    "The event was not taken",
    "The event surely did not become durable, so nothing comes of it. Repeat the call.",
)
PUBLISH_UNKNOWN = ProblemType(
    "publish-unknown",
    503,
    "The event may have been taken",
    "Whether the event became durable could not be learnt. Repeat the call with the Idempotency-Key of this answer: "
    "then it is the same event, and nobody is told twice.",
)
TOO_MANY_CALLERS = ProblemType(
    "too-many-callers",
    503,
    "Too many callers are waiting",
    "This facade lets a bounded number of callers wait at once. Nothing was published. Repeat the call.",
)
TOO_MANY_OF_ONE_CALLER = ProblemType(
    "too-many-of-one-caller",
    429,
    "Too many calls of this caller are waiting",
    "One caller (an API key's name; without keys, a client address) may have a bounded number of calls waiting at "
    "once. Nothing was published. Repeat the call, have fewer calls side by side, or wait for less: `Prefer: wait=1`.",
)
STOPPING = ProblemType(
    "stopping", 503, "This facade is stopping", "Nothing was published. Repeat the call: another facade takes it."
)
TRY_AGAIN = ProblemType(
    "try-again", 503, "Kafka does not answer", "Where the dispatch stands could not be read just now. Ask again."
)

PROBLEM_TYPES: tuple[ProblemType, ...] = (
    NOT_JSON,
    INVALID_PATH,
    INVALID_KEY,
    UNKNOWN_API_KEY,
    TOO_MANY_WRONG_KEYS,
    NO_SUCH_ENDPOINT,
    UNKNOWN_MENTOR,
    NO_SUCH_DISPATCH,
    NOT_LATELY_SEEN,
    METHOD_NOT_ALLOWED,
    TOO_SLOW,
    TOO_LARGE,
    UNSUPPORTED_CONTENT_TYPE,
    INVALID_REQUEST,
    KEY_REUSED,
    UNDELIVERABLE,
    INTERNAL_ERROR,
    NOT_DELIVERED,
    NOT_PUBLISHED,
    PUBLISH_UNKNOWN,
    TOO_MANY_CALLERS,
    TOO_MANY_OF_ONE_CALLER,
    STOPPING,
    TRY_AGAIN,
)
PROBLEM_TYPES_BY_SLUG: Mapping[str, ProblemType] = {kind.slug: kind for kind in PROBLEM_TYPES}
