"""`assert_denied`: the assertion about a refusal, with a diff of what was expected and what was decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from entitlements.errors import Denied
from entitlements.model.display import in_words
from entitlements.model.facts import Remedy
from entitlements.model.names import nearest
from entitlements.model.reasons import Reason

if TYPE_CHECKING:
    from entitlements.model.decision import Decision
    from entitlements.reservations import AsyncReservation, Reservation

_FIELDS = ("account", "feature", "tier", "source", "via", "limit", "used", "remaining", "retry_after", "resets_at",
           "valid_until", "degraded", "policy")  # fmt: skip


def assert_denied(
    decision: Decision | Denied | Reservation | AsyncReservation,
    reason: Reason | str | None = None,
    *,
    remedy: object = ...,
    **fields: object,
) -> Decision:
    """
    Check that a decision refuses, and why.

    Args:
        decision: The result of `consume`, `peek`, `decide`, `assign` …, a `Reservation`, or the exception `Denied`.
        reason: The expected reason, such as `Reason.QUOTA_EXCEEDED` or `"quota-exceeded"`; None for any.
        remedy: The tier or the add-on that would have allowed it, a `Remedy`, or None for no remedy; any by default.
        fields: Further attributes of the decision with their expected values, such as `used=100` or
            `retry_after=timedelta(hours=1)`.

    Returns:
        The decision.

    Raises:
        AssertionError: If it allows, or refuses otherwise; its message has the differences.
        TypeError: For anything but a decision, and for an attribute that decisions do not have.
        ValueError: For an unknown reason.
    """
    __tracebackhide__ = True
    found = _decision_of(decision)
    expected: dict[str, object] = {"allowed": False}
    if reason is not None:
        expected["reason"] = _reason(reason)
    if remedy is not ...:
        expected["remedy"] = remedy
    for name, value in fields.items():
        if name not in _FIELDS:
            raise TypeError(f"a decision has no attribute {name!r} to compare{nearest(name, _FIELDS)}")
        expected[name] = value
    if all(_fits(found, name, value) for name, value in expected.items()):
        return found
    raise AssertionError("\n".join(_difference(found, expected)))


def _decision_of(given: object) -> Decision:
    from entitlements.model.decision import Decision

    found = getattr(given, "decision", given)
    if isinstance(found, Decision):
        return found
    cure = "pass what consume(), peek() or decide() returns; can() has a bare answer without a reason"
    if hasattr(type(given), "__await__"):
        cure = "write `await` before the call"
    raise TypeError(f"{given!r} is a {type(given).__name__} and no decision; {cure}")


def _reason(reason: Reason | str) -> Reason:
    try:
        return Reason(reason)
    except ValueError:
        known = [each.value for each in Reason]
        raise ValueError(
            f"{reason!r} is no reason{nearest(str(reason), known)}; reasons are {', '.join(known)}"
        ) from None


def _fits(decision: Decision, name: str, expected: object) -> bool:
    actual = getattr(decision, name)
    if name == "remedy" and isinstance(expected, str):
        return isinstance(actual, Remedy) and expected in (actual.tier, actual.add_on)
    return bool(actual == expected)


def _difference(decision: Decision, expected: dict[str, object]) -> Iterator[str]:
    """Yield the lines of the message: the decision, what differs, and what was considered."""
    yield f"the decision is not the expected refusal (- expected, + decided): {decision.explanation}"
    for name in {"allowed": None, "reason": None, "remedy": None, **expected}:
        actual = _shown(name, getattr(decision, name))
        if name not in expected or _fits(decision, name, expected[name]):
            yield f"    {name:12} {actual}"
        else:
            yield f"  - {name:12} {_shown(name, expected[name])}"
            yield f"  + {name:12} {actual}"
    yield from (f"    considered   {each}" for each in decision.trace)


def _shown(name: str, value: object) -> str:
    if isinstance(value, Remedy):
        named = [f"tier {value.tier!r}"] * bool(value.tier) + [f"add-on {value.add_on!r}"] * bool(value.add_on)
        return " or ".join(named)
    if name == "remedy" and isinstance(value, str):
        return f"tier or add-on {value!r}"
    return "none" if value is None else in_words(value)
