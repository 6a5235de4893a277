"""The options that every middleware takes, and the route table and the admission that they describe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from entitlements.http.admission import Admission
from entitlements.http.problems import Problems, check_switch
from entitlements.http.rate_limit_headers import HeaderStyle
from entitlements.http.retry_after import DEFAULT_RETRY_AFTER_CAP
from entitlements.http.root_path import takes_empty_parameters
from entitlements.http.routes import Route, RouteTable

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer


class MiddlewareOptions(TypedDict, total=False):
    """The optional arguments of a middleware; `EntitlementsMiddleware` of `entitlements.http.asgi` describes them."""

    routes: Iterable[Route] | None
    default: Route | None
    refund_on: Collection[int]
    refund_rates: bool
    headers: HeaderStyle | str
    docs_url: str | None
    upgrade_url: str | None
    payment_required: bool
    retry_after_cap: int
    on_denied: Callable[[Any, Any], Any] | None
    normalise: bool
    idempotency_key: bool


def build_admission(
    app: object, enforcer: AsyncEnforcer | Enforcer, **options: Unpack[MiddlewareOptions]
) -> tuple[RouteTable, Admission]:
    """
    Return the route table and the admission that the options of a middleware describe.

    Args:
        app: The application, whose own refusals unknown accounts get.
        enforcer: The enforcer of the middleware.
        options: The options, without `on_denied`.

    Raises:
        TypeError: If an option has the wrong type, or there is none of its name.
        ValueError: If a rule can never match, or names something that the policy does not define.
    """
    unknown = options.keys() - MiddlewareOptions.__optional_keys__
    if unknown:
        raise TypeError(f"{min(unknown)!r} is no option; there are {', '.join(MiddlewareOptions.__annotations__)}")
    normalise = options.get("normalise", True)
    check_switch("normalise", normalise)
    rules = options.get("routes")
    table = RouteTable(
        enforcer.policy.routes if rules is None else rules,
        options.get("default"),
        normalise=normalise,
        empty=takes_empty_parameters(app),
    )
    table.check(enforcer.policy)
    problems = Problems(
        docs_url=options.get("docs_url"),
        upgrade_url=options.get("upgrade_url"),
        payment_required=options.get("payment_required", False),
        retry_after_cap=options.get("retry_after_cap", DEFAULT_RETRY_AFTER_CAP),
    )
    admission = Admission(
        app,
        enforcer,
        refund_on=options.get("refund_on", range(500, 600)),
        refund_rates=options.get("refund_rates", False),
        style=HeaderStyle(options.get("headers", HeaderStyle.DRAFT_11)),
        problems=problems,
        reads_keys=options.get("idempotency_key", False),
    )
    return table, admission
