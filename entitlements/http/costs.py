"""Request costs: computes the units of a charge from a request, and classifies the errors of that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from entitlements.http.identify import is_malformed_id
from entitlements.model.callables import described_result
from entitlements.model.names import MAX_COUNT, shown
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.routes import Cost, Route

_log = logging.getLogger("entitlements.http")


class BadRequest(Exception):
    """A request with a cost or a scope that is missing or invalid."""


def costs_of(consumes: Mapping[str, Cost], request: Any, where: object, id: str | None = None) -> dict[str, int]:
    """
    Return the units of each limit, without those of cost 0.

    Args:
        consumes: Units by limit, or callables that compute them from *request*.
        request: The argument of those callables.
        where: The name of the rule in errors.
        id: The id of the account, which is kept out of the log.

    Raises:
        BadRequest: If the request has no valid cost.
        TypeError: If a computed cost is not an int.
    """
    costs = {
        name: _units(name, cost, request, where, id) if callable(cost) else cost for name, cost in consumes.items()
    }
    return {name: units for name, units in costs.items() if units}


def _units(name: str, cost: Any, request: Any, where: object, id: str | None) -> int:
    try:
        units = cost(request)
    except (ValueError, LookupError) as error:  # as int(request.query_params["n"]) raises
        _log.warning(
            "bad request: the cost of %r could not be read\n%s",
            name,
            redacted_traceback(error, id),
            extra={"limit": name, "error": type(error).__name__},
        )
        raise BadRequest from error
    if type(units) is not int:
        what = f"{where}: cost of {name!r}: {described_result(cost, units)}"
        raise TypeError(f"{what}; write a plain function that returns an int, 0 or more")
    if not 0 <= units <= MAX_COUNT:
        _log.warning("bad request: the cost of %r came to %s", name, shown(units), extra={"limit": name})
        raise BadRequest
    return units


def scope_of(rule: Route, request: Any, where: object) -> str | None:
    """
    Return the scope of a charge, as the rule's `scope=` reads it from the request; None without one.

    Args:
        rule: The rule.
        request: The argument of the callable.
        where: The name of the rule in errors.

    Raises:
        TypeError: If the callable returns neither a str nor None.
    """
    if rule.scope is None:
        return None
    meter_scope = rule.scope(request)
    if meter_scope is not None and not isinstance(meter_scope, str):
        what = f"{where}: scope=: {described_result(rule.scope, meter_scope)}"
        raise TypeError(f"{what}; write a plain function that returns a str, or None")
    return meter_scope


def check_scope_error(error: ValueError, rule: Route, meter_scope: object, where: object = None) -> None:
    """
    Raise `BadRequest` if a charge failed for its `scope=`, which was read from the request.

    Args:
        error: The error of the charge.
        rule: The rule with the `scope=` callable.
        meter_scope: The value that the callable returned.
        where: The name of the rule in the log, if it has another.

    Raises:
        BadRequest: If the value is None, or a str that is no valid id.
    """
    if rule.scope is not None and (meter_scope is None or is_malformed_id(meter_scope)):
        _log.info("bad request: %s: scope= gave no valid id", where or rule, extra={"route": str(where or rule)})
        raise BadRequest from error
