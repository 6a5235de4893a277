"""The HTTP contract: the answers of the ASGI middleware to one request of each kind, as it gives them."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Any

from entitlements import Account, AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.problems import _KINDS, PROBLEMS, TYPES
from entitlements.http.routes import Route
from entitlements.testing import FakeClock
from tools.docs.reference.markdown import table

POLICY = {
    "policy": {"version": "1"},
    "features": {"sso": "Single sign-on."},
    "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota"}, "seats": {"kind": "allocation"}},
    "tiers": {
        "free": {"rank": 1, "limits": {"api": "2 per hour", "leads": 1, "seats": 1}},
        "pro": {"rank": 2, "features": ["sso"], "limits": {"api": "100 per hour", "leads": 50, "seats": 5}},
    },
}
ROUTES = [
    Route("/sso", requires={"sso"}),
    Route("/calls", consumes={"api": 1}),
    Route("/leads", consumes={"api": 1, "leads": 1}),
    Route("/seats", consumes={"seats": lambda scope: int(scope["query_string"] or b"1")}),
]

INTRO = f"""# HTTP contract

The answers of the middlewares, the dependencies and the exception handlers. Each example is what the ASGI middleware answers to `acme`, an account of the tier `free`, under this policy:

```yaml
{{policy}}```

A refusal is a problem document (RFC 9457), `application/problem+json`. Its `type` ends in the kind; without `docs_url` it begins with `{TYPES}#`.

"""
MEMBERS = (
    ("`type`, `title`, `status`, `detail`", "all", "as RFC 9457 says"),
    ("`feature`", "all with a decision, except `suspended`", "the feature or the limit that was refused"),
    ("`remedy`", "where another tier or an add-on helps", "`tier` and `add_on`, each may be null"),
    ("`upgrade_url`", "with a remedy, if the option is set", "the page on which a customer can upgrade"),
    (
        "`limit`, `used`, `remaining`, `overage`",
        "`quota-exceeded`, `limit-reached`",
        "the figures of the limit that refused",
    ),
    ("`resets_at`", "`quota-exceeded`, `limit-reached`", "an instant on the clock of the web server, or null"),
    ("`retry_after`", "`quota-exceeded`, `limit-reached`", "whole seconds until this request fits, or null"),
    ("`violated-policies`", "`quota-exceeded`", "the names of all limits that refused"),
)
HEADERS = (
    ("`RateLimit`", "what is left (`r`) and for how many seconds (`t`) of each rate and quota that was charged"),
    ("`RateLimit-Policy`", "the size (`q`) and the window in seconds (`w`) of each of them"),
    ("`Retry-After`", "whole seconds, rounded up; left out above `retry_after_cap`"),
    ("`WWW-Authenticate`", "a challenge, with a 401"),
    ("`Cache-Control`", "`no-store`, with every refusal"),
)
STEPS = (
    ("Allowed", "GET", "/calls", {}),
    ("`not-included`: a feature of another tier", "GET", "/sso", {}),
    ("`quota-exceeded`: a rate is used up", "GET", "/calls", {}),
    ("`limit-reached`: an allocation is full", "POST", "/seats", {}),
    ("`limit-reached`: a cost that can never fit", "POST", "/seats?7", {}),
    ("`bad-request`: a cost that cannot be read", "POST", "/seats?many", {}),
    ("`account-required`: no account", "GET", "/calls", {"as": None}),
    ("`suspended`", "GET", "/calls", {"as": "globex"}),
    ("`key-reused`: an `Idempotency-Key` of another charge", "POST", "/leads", {}),
    ("`limits-unavailable`: the account cannot be looked up", "GET", "/calls", {"as": "down"}),
)


def pages() -> dict[str, str]:
    """Return the page of the HTTP contract."""
    reasons: dict[str, list[str]] = {}
    for reason, kind in _KINDS.items():
        reasons.setdefault(kind, []).append(f"`{reason.name}`")
    rows = [
        (f"`{kind}`", str(status), title, ", ".join(reasons.get(kind, ())))
        for kind, (status, title) in PROBLEMS.items()
    ]
    text = INTRO.replace("{policy}", _yaml())
    text += "## Kinds\n\n" + table(("kind", "status", "title", "reasons of decisions"), rows)
    text += "\n## Members\n\n" + table(("member", "in", "holds"), MEMBERS)
    text += "\n## Headers\n\n" + table(("header", "holds"), HEADERS)
    logging.disable(logging.CRITICAL)  # two of the requests are errors of the program's own, and logged
    try:
        examples = asyncio.run(_examples())
    finally:
        logging.disable(logging.NOTSET)
    return {"http.md": f"{text}\n## Examples\n{examples}"}


def _yaml() -> str:
    lines = []
    for name, part in POLICY.items():
        lines.append(f"{name}:")
        lines += [f"  {key}: {json.dumps(value).replace(chr(34), '')}" for key, value in part.items()]
    return "\n".join([*lines, ""])


async def _examples() -> str:
    accounts = {"acme": "free", "globex": Account("globex", "free", status="suspended")}
    enforcer = AsyncEnforcer(
        Policy.parse(POLICY), accounts=accounts, clock=FakeClock(datetime(2026, 11, 30, 12, tzinfo=UTC))
    )
    app = EntitlementsMiddleware(_hello, enforcer=enforcer, identify=_identify, routes=ROUTES)
    keyed = EntitlementsMiddleware(_hello, enforcer=enforcer, identify=_identify, routes=ROUTES, idempotency_key=True)
    texts = []
    for title, method, path, options in STEPS:
        if "a rate is used up" in title:
            await _ask(app, method, path, "acme")
        if "full" in title:
            await _ask(app, method, path, "acme")
        if "key-reused" in title:
            await enforcer.reset("acme", "api")
            key = {"idempotency-key": '"8e03978e"'}
            await _ask(keyed, method, "/leads", "acme", key)
            keyed = EntitlementsMiddleware(
                _hello,
                enforcer=enforcer,
                identify=_identify,
                routes=[Route("/leads", consumes={"api": 2})],
                idempotency_key=True,
            )
            answer = await _ask(keyed, method, path, "acme", key)
        else:
            answer = await _ask(app, method, path, options.get("as", "acme"))
        texts.append(f"\n### {title}\n\n`{method} {path}`\n\n```http\n{answer}```\n")
    return "".join(texts)


def _identify(scope: dict[str, Any]) -> str | None:
    if scope["account"] == "down":
        raise ConnectionError("the directory of keys does not answer")
    return scope["account"]


async def _hello(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def _ask(app: Any, method: str, path: str, account: str | None, headers: dict[str, str] | None = None) -> str:
    """Return the answer to a request as text."""
    sent: list[dict[str, Any]] = []
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https", "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "server": ("example.com", 443),
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()], "account": account,
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    status = sent[0]["status"]
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name.decode()}: {value.decode()}" for name, value in sent[0]["headers"] if name != b"content-length"]
    body = b"".join(each.get("body", b"") for each in sent[1:])
    text = json.dumps(json.loads(body), indent=2) if body.startswith(b"{") else body.decode()
    return "\n".join([*lines, "", text, ""])
