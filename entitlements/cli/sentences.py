"""A decision as one sentence: yes or no, why, and what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from entitlements.cli.formatting import of_name
from entitlements.model.facts import Reason
from entitlements.model.limits import NOT_INCLUDED

if TYPE_CHECKING:
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.facts import Remedy
    from entitlements.model.policy import Policy


def answer(decision: Decision, entitlements: Entitlements) -> Text:
    """
    Return the decision about a name.

    Args:
        decision: What `decide` returned.
        entitlements: The snapshot that it was made from.
    """
    said = ("yes", "bold green") if decision.allowed else ("no", "bold red")
    remedy = decision.remedy
    is_known = decision.reason is not Reason.UNKNOWN_ACCOUNT  # for others a tier is no cure: they have none
    helps = f"; {remedy_words(remedy, entitlements.policy)}" if remedy and is_known else ""
    return Text.assemble(said, ": ", _what(decision, entitlements), helps)


def remedy_words(remedy: Remedy, policy: Policy) -> str:
    """Return who has it: `tier enterprise or add-on phone-support (500 per year) has it`."""
    ways = []
    if remedy.tier:
        ways.append(f"tier {remedy.tier}")
    if remedy.add_on:
        price = policy.add_ons[remedy.add_on].price
        ways.append(f"add-on {remedy.add_on} ({price})" if price else f"add-on {remedy.add_on}")
    return f"{' or '.join(ways)} has it"


def _what(decision: Decision, entitlements: Entitlements) -> str:
    account, name, source = decision.account, decision.feature, _source(decision.source)
    if decision.reason is Reason.SUSPENDED:
        return f"{account} is suspended"
    if decision.reason is Reason.UNKNOWN_ACCOUNT:
        return f"{account} has no tier that the policy knows"
    if decision.limit is not None and decision.limit is not NOT_INCLUDED:
        return f"{account} has {name}: {of_name(entitlements.policy, name, decision.facts.size)}, {source}"
    base = name.partition(":")[0]
    level = entitlements.levels.get(base)
    if decision.reason is Reason.LEVEL_TOO_LOW:
        return f"{account} has {base} at level {level} only, {source}"
    if decision.allowed:
        return f"{account} has {base}{f' at level {level}' if level else ''}, {source}"
    return f"{account} does not have {base}, {source}"


def _source(source: str) -> str:
    """Return where something comes from; an override and a grant are of the name that is asked anyway."""
    kind, _, name = source.partition(":")
    return {"tier": f"on tier {name}", "override": "by an override", "grant": "by a grant"}.get(
        kind, f"by {kind} {name}"
    )
