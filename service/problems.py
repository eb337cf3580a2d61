"""All problems that a caller may get (RFC 9457): the type, status and text of each in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROBLEMS_PATH = "/problems"
PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """One kind of problem; *slug* is stable, since callers distinguish problems by it."""

    slug: str
    status: int
    title: str
    text: str
    """What it means and what to do; shown on the page of its type."""

    @property
    def uri(self) -> str:
        """Return the `type` of the problem, which is also the path of its page."""
        return f"{PROBLEMS_PATH}/{self.slug}"


class Problem(Exception):
    """An answer that is a problem: raised or returned; `service.responses` turns it into a response."""

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
    """Return the body of a problem: the members of RFC 9457, then ours."""
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
    "The body must be one JSON document in UTF-8. NaN, a name twice in one object, half of a surrogate pair, and very "
    "deep nesting are refused.",
)
INVALID_PATH = ProblemType(
    "invalid-path",
    400,
    "The path can be read in two ways",
    "A path must not have an encoded slash (`%2F`), backslash or NUL. Behind a proxy that removes a prefix, "
    "`X-Forwarded-Prefix` must be one path, and only the proxy may set it.",
)
INVALID_KEY = ProblemType(
    "invalid-key",
    400,
    "The Idempotency-Key is not valid",
    "An Idempotency-Key is 1 to 255 printable ASCII characters, bare or in double quotes. It is given once.",
)
UNKNOWN_API_KEY = ProblemType(
    "unknown-api-key",
    401,
    "An API key is needed",
    "This service requires an API key: `Authorization: Bearer KEY`, or `X-API-Key: KEY`. Ask its operators for one.",
)
TOO_MANY_WRONG_KEYS = ProblemType(
    "too-many-wrong-keys",
    429,
    "Too many calls without a known API key",
    "Many calls from this address had no API key, or an unknown one. Wait as long as `Retry-After` says, or use a "
    "valid key: calls with a valid key are still answered.",
)
NO_SUCH_ENDPOINT = ProblemType(
    "no-such-endpoint",
    404,
    "There is no such endpoint",
    "This service does not have this path. The detail lists its endpoints, and /docs describes them.",
)
UNKNOWN_MENTOR = ProblemType(
    "unknown-mentor",
    404,
    "The mentor is not known",
    "No contact with this mentor_id was known when the event was processed, so nobody was notified. The event is kept "
    "as a dead letter. When the contact is known, repeat the call with the same Idempotency-Key, or make a new call.",
)
NO_SUCH_DISPATCH = ProblemType(
    "no-such-dispatch",
    404,
    "There is no such dispatch",
    "There is no event of this dispatch at the position that `at` names, or it is no longer kept, or the id or `at` is "
    "malformed; the detail says which. Use the Location of the 202 unchanged. If API keys are required, a dispatch of "
    "another caller, or of another service's event, gets the same answer; an operator's key reads all.",
)
NOT_LATELY_SEEN = ProblemType(
    "not-lately-seen",
    404,
    "The dispatch was not seen recently",
    "Without `at`, a facade answers only for a limited number of dispatches that it has seen recently, and only for "
    "the caller's own. The dispatch may still exist: ask again with the `at` of the Location that came with the 202.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed", 405, "The method is not allowed", "The path exists, but accepts only the methods in `Allow`."
)
TOO_SLOW = ProblemType(
    "too-slow", 408, "The body did not arrive", "The body must arrive within 10 seconds. Nothing was published."
)
TOO_LARGE = ProblemType("too-large", 413, "The body is too large", "A body may be at most 64 KiB.")
UNSUPPORTED_CONTENT_TYPE = ProblemType(
    "unsupported-content-type",
    415,
    "The content type is not plain JSON",
    "A body is application/json in UTF-8, without a content encoding. A body without a content type is read as JSON. "
    "One exception: if no API keys are required, a call from a web page must have the type. Such a call has `Origin`, "
    "or a `Sec-Fetch-Site` other than `none` and `same-origin`; any page could send it without asking. "
    "Some clients set another type by themselves (`curl -d`: application/x-www-form-urlencoded): "
    "set `Content-Type: application/json`.",
)
INVALID_REQUEST = ProblemType(
    "invalid-request",
    422,
    "The body does not fit the contract",
    "Fields are missing or wrong; `errors` has a JSON pointer to each. Nothing was published.",
)
KEY_REUSED = ProblemType(
    "key-reused",
    422,
    "The Idempotency-Key was used for other content",
    "An event with this Idempotency-Key and mentor, and other content, is known already. It is unchanged, and this one "
    "is not dispatched. Use a new key for new content.",
)
UNDELIVERABLE = ProblemType(
    "undeliverable",
    422,
    "No recipient can be notified",
    "Every recipient failed for good: there is no address, or the e-mail provider rejects the message. The list says "
    "why. The event is kept as a dead letter.",
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "An error of this service",
    "The cause is in this service. Quote the trace_id. A call with an Idempotency-Key is safe to repeat.",
)
NOT_DELIVERED = ProblemType(
    "not-delivered",
    502,
    "No recipient could be notified",
    "Every recipient failed, at least one of them for a temporary cause. The event is kept as a dead letter. "
    "Repeat the call with the same Idempotency-Key to try again.",
)
NOT_PUBLISHED = ProblemType(
    "not-published",
    503,
    "The event was not accepted",
    "The event is certainly not durable, so nothing will come of it. Repeat the call.",
)
PUBLISH_UNKNOWN = ProblemType(
    "publish-unknown",
    503,
    "The event may have been accepted",
    "It is not known whether the event is durable. Repeat the call with the Idempotency-Key of this answer: then it is "
    "the same event, and nobody is notified twice.",
)
TOO_MANY_CALLERS = ProblemType(
    "too-many-callers",
    503,
    "Too many callers are waiting",
    "The number of callers who may wait at this facade is limited. Nothing was published. Repeat the call.",
)
TOO_MANY_OF_ONE_CALLER = ProblemType(
    "too-many-of-one-caller",
    429,
    "Too many calls of this caller are waiting",
    "The number of waiting calls of one caller (the name of an API key; without keys, a client address) is limited. "
    "Nothing was published. Repeat the call, make fewer calls at once, or wait for less time: `Prefer: wait=1`.",
)
STOPPING = ProblemType(
    "stopping", 503, "This facade is stopping", "Nothing was published. Repeat the call: another facade will take it."
)
TRY_AGAIN = ProblemType(
    "try-again", 503, "Kafka does not answer", "The state of the dispatch cannot be read at the moment. Ask again."
)

PROBLEM_TYPES = tuple(one for one in vars().copy().values() if isinstance(one, ProblemType))
"""All of the above, in their order."""
PROBLEM_TYPES_BY_SLUG: Mapping[str, ProblemType] = {kind.slug: kind for kind in PROBLEM_TYPES}
