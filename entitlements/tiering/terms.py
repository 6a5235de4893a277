"""
Transition terms of a tier: the values below `transition`, parsed.

They are ordinary values of the tier, so an override of `transition.notice` gives one
account its own notice period. `upgrade.<criterion>-above` names a criterion of the
policy's section `assignment`; one that `upgrade.supporting` lists never decides alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from entitlements.model.frozen_dict import FrozenDict, TableKey
from entitlements.model.names import shown
from entitlements.tiering.value_faults import ValueFault, misspelt, unknown_key

NODE = "transition"
"""The node of the transition values."""

_BELOW = f"{NODE}."

ABOVE = "-above"
"""Suffix of `upgrade.<criterion>-above`: a larger value is a trigger for an upgrade."""


_Kind = type | Callable[[object], bool]
"""The type of a term's value, or a check of it."""


class Effect(StrEnum):
    """The effect of an event in a customer's business."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    REASSESS = "reassess"
    BENEFITS = "benefits"  # a grant or an override, the tier stays
    CLOSE = "close"  # the account is closed and gets no other tier


@dataclass(frozen=True, slots=True)
class UsageThreshold:
    """
    A percentage of a limit, in a number of the last months.

    Args:
        percent: The percentage of the limit.
        months: The number of months in which it must be reached.
        of: The number of finished months to look at.
    """

    percent: Decimal
    months: int
    of: int


@dataclass(frozen=True, slots=True)
class Upgrade:
    """
    The upgrade terms of a tier.

    Args:
        to: The id of the next higher tier; None without upgrade terms.
        above: Criterion to threshold; a larger value is a trigger.
        supporting: The criteria of *above* that support other triggers and never decide alone.
        triggers: The triggers, as text.
        process: The steps, in order, as text.
        owners: The role that does each step; the last steps may have none.
        within: The time from the review in which each step is due; the last steps may have none.
        outreach: The time limit for contacting the customer; None without one.
    """

    to: str | None = None
    above: Mapping[str, Decimal] = field(default_factory=dict)
    supporting: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    process: tuple[str, ...] = ()
    outreach: timedelta | None = None
    owners: tuple[str, ...] = ()
    within: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """
    The transition terms of a tier.

    Args:
        notice: The notice period of a downgrade.
        down_to: The next lower tier; None without one.
        down_triggers: The triggers for a downgrade, as text.
        process: The steps of a downgrade, in order, as text.
        upgrade: The upgrade terms.
        exceeded: The usage that is a trigger for an upgrade; None for never.
        underused: The usage that is a trigger for optimisation; None for never.
        approaching: The percentage of a limit that announces an upgrade; None for never.
        events: The effect of each event in a customer's business.
        owners: The role that does each step of a downgrade; the last steps may have none.
        within: The time from the review in which each step of a downgrade is due; the last steps may have none.
    """

    notice: timedelta = timedelta()
    down_to: str | None = None
    down_triggers: tuple[str, ...] = ()
    process: tuple[str, ...] = ()
    upgrade: Upgrade = Upgrade()
    exceeded: UsageThreshold | None = None
    underused: UsageThreshold | None = None
    approaching: Decimal | None = None
    events: Mapping[str, Effect] = field(default_factory=dict)
    owners: tuple[str, ...] = ()
    within: tuple[timedelta, ...] = ()

    @property
    def counted_periods(self) -> int:
        """The finished periods that usage triggers look at."""
        return max((each.of for each in (self.exceeded, self.underused) if each is not None), default=1)


def terms_of(values: Mapping[str, Any]) -> Terms:
    """
    Return the terms in *values*, by dotted key; those of a frozen table are read once.

    Raises:
        ValueError: With `key: problem; cure`, for the first invalid value.
    """
    return _terms_of_table(TableKey(values)) if isinstance(values, FrozenDict) else _read_terms(values)


@lru_cache(maxsize=256)
def _terms_of_table(table: TableKey) -> Terms:
    return _read_terms(table.table)


def _read_terms(values: Mapping[str, Any]) -> Terms:
    for fault in term_faults(values):
        if fault.is_error:
            raise ValueError(f"{fault.key}: {fault.problem}; {fault.cure}")
    own = {key[len(_BELOW) :]: value for key, value in values.items() if key.startswith(_BELOW)}
    return Terms(
        own.get("notice") or timedelta(),
        own.get("downgrade-to"),
        own.get("downgrade-triggers", ()),
        own.get("process", ()),
        _upgrade(own),
        _share(own, "exceeded"),
        _share(own, "underused"),
        own.get("approaching"),
        FrozenDict({key[7:]: Effect(value) for key, value in own.items() if key.startswith("events.")}),
        own.get("process-owners", ()),
        own.get("process-within", ()),
    )


def term_faults(values: Mapping[str, Any]) -> Iterator[ValueFault]:
    """Yield the faults of the terms in *values*; a key that is no term, nor a misspelt one, is a text for people."""
    for key, value in values.items():
        if not key.startswith(_BELOW):
            continue
        name = key[len(_BELOW) :]
        kinds, is_misspelt = _kinds_of(name)
        for kind, cure in kinds:
            if not _fits(value, kind):
                yield ValueFault(key, f"{shown(value)} is not what it should be", cure)
        if is_misspelt:
            yield unknown_key(key, name, _PATTERNS, "the transition terms")
    for share in ("exceeded", "underused"):
        months, of = (values.get(f"{NODE}.{share}.{word}") for word in ("months", "of"))
        if _is_whole(months) and _is_whole(of) and months > of:  # type: ignore[operator]
            yield ValueFault(f"{NODE}.{share}.months", f"{months} of {of} months cannot be", "exchange the two")
    for node in (_BELOW, f"{_BELOW}upgrade."):
        steps = values.get(f"{node}process", ())
        for word in ("process-owners", "process-within"):
            each = values.get(f"{node}{word}", ())
            if isinstance(each, tuple) and isinstance(steps, tuple) and len(each) > len(steps):
                problem = f"{len(each)} are written for {len(steps)} steps of {node}process"
                yield ValueFault(f"{node}{word}", problem, "write one for each step at most")
    supporting = values.get(f"{NODE}.upgrade.supporting")
    for at, name in enumerate(supporting if isinstance(supporting, tuple) else ()):
        if f"{NODE}.upgrade.{name}{ABOVE}" not in values:
            cure = f"write its bound: {name}{ABOVE}: 1"
            yield ValueFault(f"{NODE}.upgrade.supporting", f"{shown(name)} has no bound to be above", cure, (at,))


@lru_cache(maxsize=1024)
def _kinds_of(name: str) -> tuple[tuple[tuple[_Kind, str], ...], bool]:
    """Return the types or checks of the term *name* with their cures, and True if it is a misspelt one."""
    kinds = tuple(
        (kind, cure) for patterns, kind, cure in _KINDS if any(fnmatchcase(name, pattern) for pattern in patterns)
    )
    return kinds, not kinds and misspelt(name, _PATTERNS) is not None


def _upgrade(own: Mapping[str, Any]) -> Upgrade:
    to = own.get("upgrade.to")
    if to is None:
        return Upgrade()
    above = {
        key.removeprefix("upgrade.").removesuffix(ABOVE): value
        for key, value in own.items()
        if key.startswith("upgrade.") and key.endswith(ABOVE)
    }
    return Upgrade(
        to,
        FrozenDict(above),
        own.get("upgrade.supporting", ()),
        own.get("upgrade.triggers", ()),
        own.get("upgrade.process", ()),
        own.get("upgrade.outreach"),
        own.get("upgrade.process-owners", ()),
        own.get("upgrade.process-within", ()),
    )


def _share(own: Mapping[str, Any], name: str) -> UsageThreshold | None:
    percent = own.get(f"{name}.percent")
    if percent is None:
        return None
    months = int(own.get(f"{name}.months", 1))
    return UsageThreshold(percent, months, int(own.get(f"{name}.of", months)))


def _fits(value: object, kind: _Kind) -> bool:
    return isinstance(value, kind) if isinstance(kind, type) else kind(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def _is_durations(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, timedelta) for item in value)


def _is_whole(value: object) -> bool:
    return isinstance(value, Decimal) and value == value.to_integral_value() and 1 <= value <= 12


def _is_effect(value: object) -> bool:
    return isinstance(value, str) and value in _EFFECTS


_EFFECTS = frozenset(Effect)

_KINDS: tuple[tuple[tuple[str, ...], _Kind, str], ...] = (
    (("notice", "upgrade.outreach"), timedelta, "write a duration, such as 30 days"),
    (("downgrade-to", "upgrade.to"), str, "write a tier"),
    (("downgrade-triggers", "process", "upgrade.triggers", "upgrade.process"), _is_texts, "write a list of texts"),
    (("process-owners", "upgrade.process-owners"), _is_texts, "write a role for each step, such as [CSM, Sales]"),
    (("process-within", "upgrade.process-within"), _is_durations, "write a duration for each step, such as [24 hours]"),
    (("upgrade.supporting",), _is_texts, "write a list of criteria, such as [locations]"),
    ((f"upgrade.*{ABOVE}",), Decimal, "write a number"),
    (("approaching",), Decimal, "write a number of percent, such as 80"),
    (("exceeded.percent",), Decimal, "write a number of percent, such as 100"),
    (("underused.percent",), Decimal, "write a number of percent, such as 25"),
    (("exceeded.months", "exceeded.of"), _is_whole, "write a number of months, 1 to 12"),
    (("underused.months", "underused.of"), _is_whole, "write a number of months, 1 to 12"),
    (("events.*",), _is_effect, f"write one of {', '.join(Effect)}"),
)
"""Key patterns below `transition`, with the type or check of their values and the cure."""

_PATTERNS = tuple(pattern for patterns, _, _ in _KINDS for pattern in patterns)
