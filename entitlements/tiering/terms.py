"""
How an account leaves a tier: the values below `transition`, as one noun.

They are ordinary values of the tier, so an override of `transition.notice` is the notice
that one account has agreed on. `upgrade.<criterion>-above` names a criterion of the
section `assignment`: which ones there are is the policy's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

NODE = "transition"
"""The node of the values that all of this stands below."""

ABOVE = "-above"
"""`upgrade.<criterion>-above`: a value beyond it speaks for moving up."""


class Effect(StrEnum):
    """What an event in the life of a customer speaks for."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    REASSESS = "reassess"
    BENEFITS = "benefits"  # a grant or an override, the tier stays
    CLOSE = "close"  # the account ends; it does not move


@dataclass(frozen=True, slots=True)
class UsageThreshold:
    """
    So much of a limit, in so many of the last months.

    Args:
        percent: Of the limit.
        months: How many of the last *of* months.
        of: How many finished months are looked at.
    """

    percent: Decimal
    months: int
    of: int


@dataclass(frozen=True, slots=True)
class Upgrade:
    """
    The way up.

    Args:
        to: The tier's id.
        above: Criterion to the value beyond which it speaks for moving up.
        triggers: What speaks for it, in words.
        process: The steps, in order, in words.
        outreach: By when somebody gets in touch; None where nothing is said.
    """

    to: str
    above: Mapping[str, Decimal] = field(default_factory=dict)
    triggers: tuple[str, ...] = ()
    process: tuple[str, ...] = ()
    outreach: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """
    The ways out of a tier.

    Args:
        notice: How long before it a downgrade has to be announced.
        down_to: The tier below; None where there is none.
        down_triggers: What speaks for moving down, in words.
        process: The steps of a downgrade, in order, in words.
        upgrade: The way up; None where there is none.
        exceeded: When a limit counts as exceeded for good; None: never.
        underused: When a tier counts as too large; None: never.
        approaching: Percent of a limit from which an account is a convert in the making; None: never.
        events: Events in the life of a customer, and what each speaks for.
    """

    notice: timedelta = timedelta()
    down_to: str | None = None
    down_triggers: tuple[str, ...] = ()
    process: tuple[str, ...] = ()
    upgrade: Upgrade | None = None
    exceeded: UsageThreshold | None = None
    underused: UsageThreshold | None = None
    approaching: Decimal | None = None
    events: Mapping[str, Effect] = field(default_factory=dict)


def terms_of(values: Mapping[str, Any]) -> Terms:
    """
    Return the terms among *values*, by dotted key; what is not written there is not said.

    Raises:
        ValueError: With `key: problem; cure`, for the first value that cannot be what it should be.
    """
    for key, problem, cure in term_problems(values):
        raise ValueError(f"{key}: {problem}; {cure}")
    own = {key.removeprefix(f"{NODE}."): value for key, value in values.items() if key.startswith(f"{NODE}.")}
    return Terms(
        own.get("notice") or timedelta(),
        own.get("downgrade-to"),
        own.get("downgrade-triggers", ()),
        own.get("process", ()),
        _upgrade(own),
        _share(own, "exceeded"),
        _share(own, "underused"),
        own.get("approaching"),
        MappingProxyType({key[7:]: Effect(value) for key, value in own.items() if key.startswith("events.")}),
    )


def term_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return the keys whose value cannot be what it should be, each with problem and cure."""
    for key, value in values.items():
        name = key.removeprefix(f"{NODE}.")
        if name == key:
            continue
        for pattern, fits, cure in _KINDS:
            if _matches(name, pattern) and not fits(value):
                yield key, f"{_shown(value)} is not what it should be", cure
    for share in ("exceeded", "underused"):
        months, of = (values.get(f"{NODE}.{share}.{word}") for word in ("months", "of"))
        if _is_whole(months) and _is_whole(of) and months > of:  # type: ignore[operator]
            yield f"{NODE}.{share}.months", f"{months} of {of} months cannot be", "exchange the two"


def _upgrade(own: Mapping[str, Any]) -> Upgrade | None:
    to = own.get("upgrade.to")
    if to is None:
        return None
    above = {
        key.removeprefix("upgrade.").removesuffix(ABOVE): value
        for key, value in own.items()
        if _matches(key, f"upgrade.*{ABOVE}")
    }
    return Upgrade(
        to,
        MappingProxyType(above),
        own.get("upgrade.triggers", ()),
        own.get("upgrade.process", ()),
        own.get("upgrade.outreach"),
    )


def _share(own: Mapping[str, Any], name: str) -> UsageThreshold | None:
    percent = own.get(f"{name}.percent")
    if percent is None:
        return None
    months = int(own.get(f"{name}.months", 1))
    return UsageThreshold(percent, months, int(own.get(f"{name}.of", months)))


def _matches(name: str, pattern: str) -> bool:
    start, star, end = pattern.partition("*")
    return name == pattern if not star else name.startswith(start) and name.endswith(end)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def _is_duration(value: object) -> bool:
    return isinstance(value, timedelta)


def _is_number(value: object) -> bool:
    return isinstance(value, Decimal)


def _is_whole(value: object) -> bool:
    return isinstance(value, Decimal) and value == value.to_integral_value() and 1 <= value <= 12


def _is_effect(value: object) -> bool:
    return value in list(Effect)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Decimal | timedelta) else repr(value)


_A_DURATION = "write a duration, such as 30 days"
_TEXTS = "write a list of texts"
_KINDS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("notice", _is_duration, _A_DURATION),
    ("upgrade.outreach", _is_duration, _A_DURATION),
    ("downgrade-to", _is_text, "write a tier"),
    ("upgrade.to", _is_text, "write a tier"),
    ("downgrade-triggers", _is_texts, _TEXTS),
    ("process", _is_texts, _TEXTS),
    ("upgrade.triggers", _is_texts, _TEXTS),
    ("upgrade.process", _is_texts, _TEXTS),
    (f"upgrade.*{ABOVE}", _is_number, "write a number"),
    ("approaching", _is_number, "write a number of percent, such as 80"),
    ("exceeded.percent", _is_number, "write a number of percent, such as 100"),
    ("underused.percent", _is_number, "write a number of percent, such as 25"),
    ("exceeded.months", _is_whole, "write a number of months, 1 to 12"),
    ("exceeded.of", _is_whole, "write a number of months, 1 to 12"),
    ("underused.months", _is_whole, "write a number of months, 1 to 12"),
    ("underused.of", _is_whole, "write a number of months, 1 to 12"),
    ("events.*", _is_effect, f"write one of {', '.join(Effect)}"),
)
