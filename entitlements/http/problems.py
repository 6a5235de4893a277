"""
Problem documents: renders refusals as status, headers and `application/problem+json` body (RFC 9457).

docs/responses.md lists the types, as section 4 of the RFC demands.

| case | status | type ends in |
|---|---|---|
| a cost or a scope that the request lacks or has wrong | 400 | `bad-request` |
| not identified | 401 | `account-required` |
| not included, level too low, limit 0, unknown account | 403 | `not-included` |
| allocation full; a cost that can never fit | 403 | `limit-reached` |
| suspended | 403 | `suspended` |
| the key of a request that asked for something else | 422 | `key-reused` |
| rate or quota used up | 429 | `quota-exceeded` |
| store down, and the limit denies in an outage | 503 | `limits-unavailable` |
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from entitlements.http.retry_after import (
    DEFAULT_RETRY,
    DEFAULT_RETRY_AFTER_CAP,
    clock_offset,
    retry_after_of,
    seconds_to_wait,
)
from entitlements.model.decision_fields import facts_of, is_enforced, receipt_of
from entitlements.model.display import in_json
from entitlements.model.names import shown
from entitlements.model.overage import overage_of
from entitlements.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.http.types import Headers
    from entitlements.model.decision import Decision

__all__ = ["Problems", "Refusal"]

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""The type that draft-ietf-httpapi-ratelimit-headers-11 asks IANA to register, with `violated-policies`."""

TYPES = "urn:uuid:07c5d213-a861-4223-9aa2-9683bddfa600"
"""The URI of the other types without `docs_url`, each by its fragment: a registered namespace, and a name of its own."""

CHALLENGE = b'Bearer realm="account"'
"""The challenge that a 401 requires (RFC 9110, section 15.5.2); `on_denied` can send another."""

_NO_URI = re.compile(r"[^A-Za-z0-9\-._~:/?#@!$&'()*+,;=%]|%(?![0-9A-Fa-f]{2})")
"""Characters that no URI has (RFC 3986, appendix A), aside from the brackets of an IPv6 address."""
_IPV6_HOST = re.compile(r"^(https?://)\[[0-9A-Fa-f:.]+\]")

SUSPENDED = "The account is suspended."

PROBLEMS = {
    "bad-request": (400, "Bad request"),
    "account-required": (401, "An account is required"),
    "not-included": (403, "Not included in the plan"),
    "limit-reached": (403, "Limit reached"),
    "suspended": (403, "The account is suspended"),
    "key-reused": (422, "Idempotency key reused"),
    "quota-exceeded": (429, "Quota exceeded"),
    "limits-unavailable": (503, "Limits are unavailable"),
}
"""Status and title of each kind of problem."""

_KINDS = {
    Reason.NOT_INCLUDED: "not-included",
    Reason.LEVEL_TOO_LOW: "not-included",
    Reason.UNKNOWN_ACCOUNT: "not-included",
    Reason.RATE_LIMITED: "quota-exceeded",
    Reason.QUOTA_EXCEEDED: "quota-exceeded",
    Reason.ALLOCATION_FULL: "limit-reached",
    Reason.NEVER_FITS: "limit-reached",
    Reason.SUSPENDED: "suspended",
    Reason.STORE_UNAVAILABLE: "limits-unavailable",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    The answer to a refused request.

    Args:
        kind: The last part of the problem type.
        status: The HTTP status.
        body: The members of the problem document, as `json.dumps` takes them.
        retry_after: Whole seconds for `Retry-After`, or None.
        decision: The decision that refused; None if no decision was made.
    """

    kind: str
    status: int
    body: dict[str, Any]
    retry_after: int | None = None
    decision: Decision | None = None

    @property
    def headers(self) -> Headers:
        """The headers of the answer, without its length."""
        headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
        if self.status == 401:
            headers.append((b"www-authenticate", CHALLENGE))
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        return headers

    @property
    def content(self) -> bytes:
        """The body of the answer."""
        return json.dumps(self.body).encode("ascii")


class Problems:
    """
    Renders refusals.

    Args:
        docs_url: The URI of the page that documents the problem types; each type is then `<docs_url>#<kind>`.
        upgrade_url: The URI of the page on which a customer can upgrade; in bodies that name a remedy.
        payment_required: Answer 402 instead of 403 where an upgrade or an add-on would help.
        retry_after_cap: Seconds above which the `Retry-After` of a 429 is left out.

    Raises:
        TypeError: If a URL is not a str, or *payment_required* not a bool.
        ValueError: If a URL is no URI, has a scheme other than http and https or an invalid port, or none and no path from the root, *docs_url* has a fragment, or the cap is not an int of 0 or more.
    """

    def __init__(
        self,
        *,
        docs_url: str | None = None,
        upgrade_url: str | None = None,
        payment_required: bool = False,
        retry_after_cap: int = DEFAULT_RETRY_AFTER_CAP,
    ) -> None:
        for name, url in (("docs_url", docs_url), ("upgrade_url", upgrade_url)):
            _check_url(name, url)
        if docs_url and "#" in docs_url:
            raise ValueError(
                f"docs_url {shown(docs_url)} holds '#': the kind of a problem is its fragment; leave it out"
            )
        check_switch("payment_required", payment_required)
        if type(retry_after_cap) is not int or retry_after_cap < 0:
            raise ValueError(f"retry_after_cap {retry_after_cap!r} must be whole seconds, 0 or more")
        self._docs_url = docs_url
        self._upgrade_url = upgrade_url
        self._payment_required = payment_required
        self._cap = retry_after_cap

    def account_required(self) -> Refusal:
        """Return the 401 for a request without an account."""
        return self._refusal("account-required", "The request names no account; sign in, or send a valid key.")

    def bad_request(self) -> Refusal:
        """Return the 400 for a request with a cost or a scope that is missing or invalid."""
        return self._refusal(
            "bad-request", "The request's cost or scope is missing or invalid; correct it and send it again."
        )

    def ambiguous_path(self) -> Refusal:
        """Return the 400 for a path that another rule applies to in another spelling."""
        return self._refusal("bad-request", "The path of this request has another spelling; send it in its plain form.")

    def key_reused(self) -> Refusal:
        """Return the 422 for an `Idempotency-Key` that stands for another charge."""
        return self._refusal("key-reused", "The Idempotency-Key belongs to another request; send a new one.")

    def unavailable(self, retry_after: int = DEFAULT_RETRY) -> Refusal:
        """Return the 503 for a request that could not be decided, with whole seconds until a retry."""
        text = "What this account may do cannot be looked up just now; try again later."
        return self._refusal("limits-unavailable", text, retry_after=retry_after)

    def standing(self, reason: Reason) -> Refusal:
        """Return the 403 for an account that is refused everything: suspended, or unknown."""
        kind = _KINDS[reason]
        return self._refusal(kind, SUSPENDED if kind == "suspended" else "The plan does not include this.")

    def refused(self, decision: Decision, rendered: Decision | None = None) -> Refusal:
        """
        Return the answer to a decision that refuses.

        Args:
            decision: The decision.
            rendered: Another one to render instead; see `entitlements.http.unknown_accounts`.
        """
        if rendered is not None:
            return replace(self.refused(rendered), decision=decision)
        kind = _KINDS[decision.reason]
        if kind == "suspended":
            return self._refusal(kind, SUSPENDED, decision)
        if kind == "limits-unavailable":
            wait = max(DEFAULT_RETRY, seconds_to_wait(decision) or 0)
            text = "This limit cannot be counted just now, and is not passed uncounted; try again later."
            return self._refusal(kind, text, decision, retry_after=wait)
        if kind == "not-included":
            detail = f"The plan does not include {decision.feature!r}{_remedy_clause(decision, 'does')}."
            return self._refusal(kind, detail, decision)
        figures = _figures(decision)
        return self._refusal(
            kind, _exceeded(decision), decision, retry_after=seconds_to_wait(decision), figures=figures
        )

    def _refusal(
        self,
        kind: str,
        detail: str,
        decision: Decision | None = None,
        *,
        retry_after: int | None = None,
        figures: Mapping[str, object] | None = None,
    ) -> Refusal:
        status, title = PROBLEMS[kind]
        body: dict[str, Any] = {"type": self._type(kind), "title": title, "status": status, "detail": detail}
        if decision is not None and kind != "suspended":
            body["feature"] = decision.feature
            remedy = decision.remedy
            if remedy:
                body["remedy"] = {"tier": remedy.tier, "add_on": remedy.add_on}
                body["remedy"] |= {"together": True} if remedy.together else {}
                if self._upgrade_url:
                    body["upgrade_url"] = self._upgrade_url
                if self._payment_required and status == 403:
                    body["status"] = status = 402
        body |= figures or {}
        return Refusal(kind, status, body, retry_after_of(status, retry_after, self._cap), decision)

    def _type(self, kind: str) -> str:
        if not self._docs_url and kind == "quota-exceeded":
            return QUOTA_EXCEEDED
        return f"{self._docs_url or TYPES}#{kind}"


def check_switch(name: str, value: object) -> None:
    """
    Check a boolean option; a str such as "no" would count as True.

    Raises:
        TypeError: If *value* is not a bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} {shown(value)} must be True or False")


def _check_url(name: str, url: object) -> None:
    if url is None:
        return
    if not isinstance(url, str):
        raise TypeError(f"{name} {shown(url)} must be a str, or None")
    if found := _NO_URI.search(_IPV6_HOST.sub(r"\1", url)):
        raise ValueError(f"{name} {shown(url)} holds {found[0]!r}, which no URI may; strip or percent-encode it")
    cure = "write an https:// URL, or a path such as /docs"
    try:
        scheme, _ = urlsplit(url).scheme, urlsplit(url).port
    except ValueError as error:
        raise ValueError(f"{name} {shown(url)} is no URL ({error}); {cure}") from None
    if scheme not in {"", "http", "https"}:
        raise ValueError(f"{name} {shown(url)} has the scheme {scheme!r}; {cure}")
    if url and not scheme and not url.startswith("/"):
        raise ValueError(f"{name} {shown(url)} would be another page at each path of the application; {cure}")


def _remedy_clause(decision: Decision, verb: str) -> str:
    remedy = decision.remedy
    if remedy is None:
        return ""
    add_on = f"{remedy.quantity} of {remedy.add_on}" if remedy.quantity > 1 else remedy.add_on
    word = " with " if remedy.together else " or "
    return f"; {word.join(each for each in (remedy.tier, add_on) if each)} {verb}"


def _exceeded(decision: Decision) -> str:
    """Return the detail for an exceeded limit, without a figure that changes from call to call."""
    if decision.reason is Reason.NEVER_FITS:
        all_of_it = "with its overage" if overage_of(facts_of(decision).size) else "in all"
        return f"The request needs more of {decision.feature!r} than the plan has {all_of_it}{_remedy_clause(decision, 'has more')}."
    is_full = decision.reason is Reason.ALLOCATION_FULL
    if decision.used and decision.remaining:
        left = "is free" if is_full else "is left for now"
        return f"The request needs more of {decision.feature!r} than {left}{_remedy_clause(decision, 'has more')}."
    if is_full:
        return f"All of {decision.feature!r} is in use{_remedy_clause(decision, 'has more')}."
    if decision.degraded:
        return f"{decision.feature!r} is counted apart for the moment, and the share of this server is used up."
    for_now = "" if decision.retry_after is None else " for now"
    return f"All of {decision.feature!r} is used up{for_now}{_remedy_clause(decision, 'has more')}."


def _resets_at(decision: Decision) -> object:
    """Return the reset on the clock of this process, in JSON."""
    resets_at = decision.resets_at
    return resets_at and in_json(resets_at + timedelta(microseconds=clock_offset(receipt_of(decision))))


def _figures(decision: Decision) -> dict[str, object]:
    wait = decision.retry_after
    figures: dict[str, object] = {
        "limit": in_json(decision.limit), "used": decision.used, "remaining": in_json(decision.remaining),
        "overage": decision.overage,
        "resets_at": _resets_at(decision), "retry_after": None if wait is None else seconds_to_wait(decision),
    }  # fmt: skip
    if _KINDS[decision.reason] == "quota-exceeded":
        figures["violated-policies"] = [
            name
            for name, part in decision.parts.items()
            if is_enforced(part) and not part.allowed and _KINDS.get(part.reason) == "quota-exceeded"
        ]
    return figures
