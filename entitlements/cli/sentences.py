"""A decision as one sentence: yes or no, the reason, and the remedy."""

from __future__ import annotations

from rich.text import Text

from entitlements.cli.formatting import format_named
from entitlements.model.decision import Decision
from entitlements.model.decision_fields import facts_of
from entitlements.model.entitlements import Entitlements
from entitlements.model.facts import Remedy
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.reasons import Reason
from entitlements.model.resolution import resolution_of


def decision_sentence(decision: Decision, entitlements: Entitlements) -> Text:
    """
    Return a decision about a feature or a limit as a sentence.

    Args:
        decision: The result of `decide`.
        entitlements: The snapshot that it was made from.
    """
    verdict = ("yes", "bold green") if decision.allowed else ("no", "bold red")
    remedy = decision.remedy
    is_known = decision.reason is not Reason.UNKNOWN_ACCOUNT  # an unknown account has no tier to change
    cure = f"; {remedy_text(remedy)}" if remedy and is_known else ""
    return Text.assemble(verdict, ": ", _reason(decision, entitlements), cure)


def remedy_text(remedy: Remedy) -> str:
    """Return the remedy in words: `tier enterprise or add-on phone-support (500 per year) has it`."""
    return f"{' or '.join(remedy.ways(str, prices=True))} has it"


def _reason(decision: Decision, entitlements: Entitlements) -> str:
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


def _source(source: str) -> str:
    """Return the source of an entitlement; an override or a grant is always of the name in question."""
    kind, _, name = source.partition(":")
    texts = {"tier": f"on tier {name}", "override": "by an override", "grant": "by a grant"}
    return texts.get(kind, f"by {kind} {name}")
