"""Decisions in words: the reason, the remedy, and the values of the sources that were considered."""

from __future__ import annotations

from entitlements.model.decision import Decision
from entitlements.model.decision_fields import facts_of
from entitlements.model.entitlements import Entitlements
from entitlements.model.facts import Considered, Remedy
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.policy import PolicyData
from entitlements.model.reasons import Reason
from entitlements.model.resolution import resolution_of
from entitlements.presentation.formatting import format_named, format_rate


def remedy_text(remedy: Remedy) -> str:
    """Return the remedy in words: `tier enterprise or add-on phone-support (500 per year) has it`."""
    return f"{' or '.join(remedy.ways(str, prices=True))} has it"


def cure_text(decision: Decision) -> str:
    """Return the remedy of a refusal in words; empty without one, and for an unknown account, which has no tier."""
    if decision.remedy is None or decision.reason is Reason.UNKNOWN_ACCOUNT:
        return ""
    return remedy_text(decision.remedy)


def reason_text(decision: Decision, entitlements: Entitlements) -> str:
    """Return the reason of a decision in words: `acme has leads: 100 per month, on tier free`."""
    account, name, source = decision.account, decision.feature, _source(decision.source)
    if decision.reason is Reason.SUSPENDED:
        return f"{account} is suspended"
    if decision.reason is Reason.UNKNOWN_ACCOUNT:
        return f"{account} has no tier that the policy knows"
    if decision.limit is not None and decision.limit is not NOT_INCLUDED:
        return f"{account} has {name}: {format_named(entitlements.policy, name, facts_of(decision).size)}, {source}"
    base = name.partition(":")[0]
    level = resolution_of(entitlements).levels.get(base)
    if decision.reason is Reason.LEVEL_TOO_LOW:
        return f"{account} has {base} at level {level} only, {source}"
    if decision.allowed:
        return f"{account} has {base}{f' at level {level}' if level else ''}, {source}"
    return f"{account} does not have {base}, {source}"


def considered_text(policy: PolicyData, name: str, considered: Considered) -> str:
    """Return the value of a source in words; units that are added have a `+`."""
    value = format_named(policy, name, considered.value)
    kind, _, source = considered.source.partition(":")
    sets = kind == "add-on" and name in policy.add_ons[source].sets
    if kind in {"grant", "add-on"} and name in policy.limits and not sets:
        number = considered.value
        return f"+{format_rate(policy.limits[name], number) if isinstance(number, int) else value}"
    return value


def _source(source: str) -> str:
    """Return the source of an entitlement; an override or a grant is always of the name in question."""
    kind, _, name = source.partition(":")
    texts = {"tier": f"on tier {name}", "override": "by an override", "grant": "by a grant"}
    return texts.get(kind, f"by {kind} {name}")
