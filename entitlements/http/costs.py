"""What a request costs, where a rule computes that from it; and whose fault it is where that fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from entitlements.model.names import MAX_COUNT, check_id, shown
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.routes import Cost

_log = logging.getLogger("entitlements.http")


class BadRequest(Exception):
    """A request of which cannot be read what it counts, or where."""


def costs_of(consumes: Mapping[str, Cost], request: Any, id: str | None = None) -> dict[str, int]:
    """
    Return the units of each limit, computed where a rule says how; a cost of 0 charges nothing.

    Args:
        consumes: Units by limit.
        request: What they are computed from.
        id: Of the account, which no log shall name.

    Raises:
        BadRequest: For what the request says, and cannot be charged.
        TypeError: For what is computed, and is no int.
    """
    costs = {name: _units(name, cost, request, id) if callable(cost) else cost for name, cost in consumes.items()}
    return {name: units for name, units in costs.items() if units}


def _units(name: str, cost: Any, request: Any, id: str | None) -> int:
    try:
        found = cost(request)
    except (ValueError, LookupError) as error:  # as int(request.query_params["n"]) raises
        _log.warning(
            "the cost of %r could not be read from a request, which is refused\n%s", name, redacted_traceback(error, id)
        )
        raise BadRequest from error
    if type(found) is not int:
        raise TypeError(f"the cost of {name!r} came to {shown(found)}; what computes it must return an int, 0 or more")
    if not 0 <= found <= MAX_COUNT:
        _log.warning("the cost of %r came to %s for a request, which is refused", name, shown(found))
        raise BadRequest
    return found


def whose_fault(error: ValueError, whose: object, where: object) -> Exception:
    """Return `BadRequest` where the scope that was read from a request is what was wrong with its charge, else *error*."""
    try:
        check_id("" if whose is None else whose)
    except ValueError:
        if whose is not None and not isinstance(whose, str):
            return error
        _log.info("%s: its scope= gave nothing that can be one, and the request is refused", where)
        return BadRequest()
    return error
