"""Pages about accounts as they are: the search, what one may do and why, and its audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.console.forms import FORMS
from entitlements.console.visit import PageError
from entitlements.errors import AccountError
from entitlements.model.decision_fields import facts_of
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.resolution import resolution_of
from entitlements.presentation.accounts import in_text
from entitlements.presentation.formatting import format_named
from entitlements.presentation.sentences import considered_text, cure_text
from entitlements.rules import steps
from entitlements.rules.explain import considered

if TYPE_CHECKING:
    from starlette.responses import Response

    from entitlements.console.visit import Visit
    from entitlements.model.account import Account
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.facts import Considered

AUDITED = 50
"""Changes on one page of the audit."""
_PARTS = ("trial", "anchor", "time_zone", "add_ons", "overrides", "grants", "changes", "attributes")


async def search(visit: Visit) -> Response:
    """Return the page that finds accounts."""
    prefix, tier, after = visit.param("prefix"), visit.param("tier"), visit.param("after")
    directory, policy = visit.services.directory, visit.policy
    known = policy.tier(tier)
    if tier and known is None:
        raise PageError(400, f"There is no tier {tier!r} in the policy.")
    tiers = () if known is None else (known.id, *known.aliases)
    found = await directory.search(prefix, tiers, after or None)
    rows = [_row(visit, id, each) for id, each in found.accounts.items() if visit.access.sees(id)]
    return visit.render(
        "accounts.html", rows=rows, prefix=prefix, tier=known.id if known else "", after=after, next=found.after,
        tiers=list(policy.tiers.values()), can_list=directory.can_list,
    )  # fmt: skip


def _row(visit: Visit, id: str, account: Account | AccountError) -> dict[str, Any]:
    if isinstance(account, AccountError):
        return {"id": id, "problem": str(account)}
    tier = visit.policy.tier(account.tier)
    notes = [f"trial of {account.trial.tier} until {account.trial.ends:%Y-%m-%d}"] if account.trial else []
    counted = (("override", account.overrides), ("grant", account.grants), ("scheduled change", account.changes))
    notes += [f"{len(each)} {noun}{'s' if len(each) > 1 else ''}" for noun, each in counted if each]
    notes += [f"add-ons {', '.join(account.add_ons)}"] if account.add_ons else []
    return {
        "id": id,
        "tier": tier,
        "written": account.tier,
        "status": str(account.status),
        "notes": notes,
        "problem": "",
    }


class TraceRow(NamedTuple):
    """A source that was considered: its name, its value, the verdict and a note."""

    source: str
    value: str
    verdict: str
    note: str


@dataclass(frozen=True, slots=True)
class NameRow:
    """
    A name of the policy: its value for an account, and the sources that were considered.

    Args:
        name: A feature, a limit or a value key.
        about: A description; may be empty.
        value: In words.
        has: False if it is not included.
        source: The source that decided.
        cure: The remedy of a refusal; empty without one.
        trace: Every source that was considered.
    """

    name: str
    about: str
    value: str
    has: bool
    source: str
    cure: str
    trace: Sequence[TraceRow]


async def overview(visit: Visit) -> Response:
    """Return the page about what an account may do, and why."""
    account = await visit.account(visit.param("id"))
    wanted = visit.param("find")
    entitlements = await visit.services.enforcer.entitlements(account)
    sections = [
        (title, [row for row in rows if wanted.lower() in row.name.lower()]) for title, rows in _sections(entitlements)
    ]
    parts = [(name.replace("_", " "), in_text(getattr(account, name))) for name in _PARTS if getattr(account, name)]
    form = FORMS.get(visit.param("done"))
    return visit.render(
        "account.html", account=account, entitlements=entitlements, find=wanted, parts=parts,
        sections=[each for each in sections if each[1]], done=form.done if form else "", tab="may",
        refusal=resolution_of(entitlements).refusal,
    )  # fmt: skip


def _sections(entitlements: Entitlements) -> Iterator[tuple[str, list[NameRow]]]:
    policy = entitlements.policy
    switches = [name for name, each in policy.features.items() if not each.levels]
    levels = [name for name, each in policy.features.items() if each.levels]
    yield "Limits", [_decided(entitlements, name, policy.limits[name].about) for name in policy.limits]
    yield "Features", [_decided(entitlements, name, policy.features[name].about) for name in switches]
    yield "Levels", [_decided(entitlements, name, policy.features[name].about) for name in levels]
    by_word: dict[str, list[NameRow]] = {}
    for key in sorted(policy.keys):
        if not key.endswith(".label"):
            by_word.setdefault(key.partition(".")[0], []).append(_valued(entitlements, key))
    for word, rows in by_word.items():
        yield f"Values: {word}", rows


def _decided(entitlements: Entitlements, name: str, about: str) -> NameRow:
    decision = steps.decide(entitlements, name)
    policy, level = entitlements.policy, resolution_of(entitlements).levels.get(name)
    value = format_named(policy, name, facts_of(decision).size) if name in policy.limits else level or "yes"
    shown = value if decision.allowed or name in policy.limits else level or "not included"
    trace = _trace(entitlements, name, decision.trace)
    return NameRow(name, about, shown, decision.allowed, decision.source, cure_text(decision), trace)


def _valued(entitlements: Entitlements, key: str) -> NameRow:
    value = resolution_of(entitlements).values.get(key, NOT_INCLUDED)
    winner, trace = considered(entitlements, key)
    source = winner or (f"tier:{entitlements.tier}" if entitlements.tier else "policy:unknown-account")
    text = format_named(entitlements.policy, key, value)
    if value is None:
        text = str(resolution_of(entitlements).values.get(f"{key}.label") or text)
    return NameRow(key, "", text, value is not NOT_INCLUDED, source, "", _trace(entitlements, key, trace))


def _trace(entitlements: Entitlements, name: str, trace: Sequence[Considered]) -> list[TraceRow]:
    return [
        TraceRow(each.source, considered_text(entitlements.policy, name, each), each.verdict.value, each.note)
        for each in trace
    ]


async def audit(visit: Visit) -> Response:
    """Return the page of the changes of an account."""
    account = await visit.account(visit.param("id"))
    directory = visit.services.directory
    if directory.tables is None:
        return visit.render("audit.html", account=account, entries=None, next=None, before="", tab="audit")
    before = visit.param("before", most=16)
    if before and not (before.isascii() and before.isdigit()):
        raise PageError(400, "The parameter before is not a version.")
    entries = await directory.audit(account.id, AUDITED + 1, int(before) if before else None)
    following = entries[AUDITED - 1].version if len(entries) > AUDITED else None
    return visit.render(
        "audit.html", account=account, entries=entries[:AUDITED], next=following, before=before, tab="audit"
    )
