"""OpenAPI: documents the responses of refusals."""

from __future__ import annotations

from typing import Any

from entitlements.http.problems import PROBLEMS


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """
    Return the OpenAPI responses of refusals: `responses=responses(401, 403, 429)`.

    Args:
        statuses: Any of 400, 401, 402, 403, 429 and 503; all of them by default.

    Raises:
        ValueError: If a status is none of these.
    """
    known = (400, 401, 402, 403, 429, 503)
    wrong = [each for each in statuses if each not in known]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no status of a refusal; there are {', '.join(map(str, known))}")
    return {status: _documented(status) for status in statuses or known}


_MEMBERS: dict[str, dict[str, Any]] = {
    "type": {"type": "string", "format": "uri-reference"},
    "title": {"type": "string"},
    "status": {"type": "integer"},
    "detail": {"type": "string"},
    "feature": {"type": "string"},
    "remedy": {
        "type": "object",
        "properties": {
            "tier": {"type": ["string", "null"]},
            "add_on": {"type": ["string", "null"]},
            "together": {"type": "boolean"},
        },
    },
    "upgrade_url": {"type": "string", "format": "uri-reference"},
    "limit": {"type": ["integer", "string"]},
    "used": {"type": ["integer", "null"]},
    "remaining": {"type": ["integer", "string", "null"]},
    "overage": {"type": "integer"},
    "resets_at": {"type": ["string", "null"], "format": "date-time"},
    "retry_after": {"type": ["integer", "null"]},
    "violated-policies": {"type": "array", "items": {"type": "string"}},
}
_ALWAYS = ["type", "title", "status", "detail"]
_RATE_LIMIT = "draft-ietf-httpapi-ratelimit-headers-11; left out where no rate and no quota was asked."


def _documented(status: int) -> dict[str, Any]:
    titles = [title for each, title in PROBLEMS.values() if each == (403 if status == 402 else status)]
    headers: dict[str, Any] = {"cache-control": {"schema": {"type": "string"}}}
    if status in {429, 503}:
        headers["retry-after"] = {"schema": {"type": "integer"}, "description": "Seconds; left out where that is long."}
    if status == 401:
        headers["www-authenticate"] = {"schema": {"type": "string"}}
    if status in {402, 403, 429}:
        for name in ("ratelimit", "ratelimit-policy"):
            headers[name] = {"schema": {"type": "string"}, "description": _RATE_LIMIT}
    schema = {"type": "object", "required": _ALWAYS, "properties": _MEMBERS}
    return {
        "description": "; ".join(titles),
        "headers": headers,
        "content": {"application/problem+json": {"schema": schema}},
    }
