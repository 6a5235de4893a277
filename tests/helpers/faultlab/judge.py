"""The judge: whether what callers were told agrees with what is counted, and whether the promises of a call were kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from entitlements import EntitlementsError, Reason
from faultlab.operations import ACCOUNT, DEADLINE, RATES, SIZES, USERS
from faultlab.records import counted, open_reservations

SLACK = 0.01
"""Seconds above its deadlines that a call may take, beside the time in which the machine held it up."""
INFINITE = float("inf")
LIMIT_KINDS = {"api": "rate", "leads": "quota", "exports": "quota", "seats": "allocation", "storage": "allocation",
               "mine": "quota", "desks": "allocation"}  # fmt: skip


@dataclass
class Verdict:
    """
    The outcome of a cell.

    Args:
        problems: By promise, what was found against it.
        calls: How many calls were made.
        degraded: How many decisions were made without the store.
        errors: How many calls raised, by error.
        over: The most seconds above its deadlines that a call took.
    """

    calls: int = 0
    degraded: int = 0
    errors: Counter = field(default_factory=Counter)
    over: float = 0.0
    problems: dict[str, list[str]] = field(default_factory=dict)

    def add(self, promise, *found):
        if found:
            self.problems.setdefault(promise, []).extend(found)


def judge(fault, operation, told, bench, window, beat, leaks):
    """Return the verdict on a cell."""
    decisions = [each for each in told.calls if each.decision is not None]
    verdict = Verdict(
        len(told.calls),
        sum(each.decision.degraded for each in decisions),
        Counter(type(each.error).__name__ for each in told.calls if each.error),
    )
    verdict.add("recovery", *([] if window.recovered else ["the store is not used again"]))
    verdict.add("leaks", *leaks)
    verdict.add("errors", *_errors(fault, told))
    verdict.add("degraded", *_degraded(fault, decisions, window))
    if fault.answers == "strict":
        verdict.add("strict", *_strays(decisions))
    verdict.over = max((_over(each, fault, beat) for each in told.calls), default=0.0)
    if verdict.over > SLACK:
        late = [each for each in told.calls if _over(each, fault, beat) > SLACK]
        verdict.add("deadline", *(f"{each.verb} took {each.took:.3f} s" for each in late[:5]))
    for account, limit in told.limits:
        verdict.add("told and counted", *_counts(fault, told, bench, account, limit))
    if not fault.loses and fault.counts:
        verdict.add("told and counted", *told.mistakes[:5])
    if operation.name.startswith("reservation") and not fault.loses:
        records = (ACCOUNT, *(f"{ACCOUNT}:{user}" for user in USERS))
        stuck = sum(open_reservations(bench.admin, record) for record in records)
        verdict.add("stuck", *([f"{stuck} reservations are still open past their ttl"] if stuck else []))
    return verdict


def _errors(fault, told):
    """Yield errors that are not ours, and those of charges that no documentation names."""
    for each in told.calls:
        if each.error is None:
            continue
        if not isinstance(each.error, EntitlementsError) or (
            each.verb in {"consume", "peek", "assign", "reserve", "can"} and not isinstance(each.error, fault.raises)
        ):
            yield f"{each.verb} raised {each.error!r}"
        elif each.verb == "request":
            yield f"a request raised {each.error!r}"
    yield from (
        f"a request was answered {each.result}" for each in told.calls if each.verb == "request" and each.result == 500
    )


def _degraded(fault, decisions, window):
    """Yield decisions that say wrongly which way they were made."""
    for each in decisions:
        decision = each.decision
        here = decision.via in {"local", "journal"} or decision.reason in {
            Reason.STORE_UNAVAILABLE,
            Reason.OUTAGE_ALLOWED,
        }
        if here != decision.degraded:
            yield f"{each.verb}: degraded is {decision.degraded} where via is {decision.via} ({decision.reason})"
        within = window.entered <= each.began and each.ended <= window.lifted
        if fault.answers == "away" and within and decision.via == "store" and not decision.degraded:
            yield f"{each.verb} was answered by a store that was away"


def _strays(decisions):
    """Yield decisions without the store that the fault does not explain."""
    for each in decisions:
        if each.decision.degraded:
            yield f"{each.verb} was degraded after {each.took:.3f} s ({each.decision.reason}, via {each.decision.via})"


def _over(call, fault, beat):
    """Return the seconds that a call took above its deadlines, without those in which the machine held it up."""
    allowed = 0.0 if call.verb == "can" else DEADLINE * fault.factor * (2 if call.verb == "request" else 1)
    return call.took - allowed - beat.stalled(call.began, call.ended)


def _counts(fault, told, bench, account, limit):
    """Yield differences between what was told of a limit and what is counted, and units above its bound."""
    if not fault.counts:
        return
    loses = LIMIT_KINDS[limit] in fault.loses
    yield from compare(told, bench.admin, account, limit, size=SIZES.get(limit), loss=INFINITE if loses else 0)
    times = (2 if limit in RATES else 1) + bool(loses)  # a process's share beside the limit, and what was lost
    if limit in SIZES and told.granted[account, limit] > times * SIZES[limit] and not fault.name.startswith("memory"):
        yield f"{limit} of {account}: {told.granted[account, limit]} granted of {SIZES[limit]}"


def compare(told, client, account, limit, *, size=None, loss=0):
    """
    Yield differences between what was told of a limit and what is counted.

    Args:
        told: What callers were told.
        client: Reads the raw record.
        account: Its id.
        limit: Its name.
        size: Units above which nothing may be counted; None for any.
        loss: Units that the server may have lost by documentation.
    """
    found = counted(client, account, limit)
    if stands := told.totals.get((account, limit)):
        if found.used not in stands and not loss:
            yield f"{limit} of {account}: {sorted(stands)} were told, {found.used} is counted"
        return
    least, most = told.bounds(account, limit)
    if not least - loss <= found.used <= most:
        yield f"{limit} of {account}: {_range(least, most)} told, {found.used} counted"
    if found.reserved:
        yield f"{limit} of {account}: {found.reserved} are still reserved"
    if size is not None and found.used > size + told.committed[account, limit]:
        yield f"{limit} of {account}: {found.used} counted of {size}"
    named = {name: state for (*of, name), state in told.holders.items() if of == [account, limit]}
    wrong = [name for name, state in named.items() if state is not None and state != (name in found.holders)]
    if len(wrong) > loss:
        yield f"{limit} of {account}: told and held differ for {wrong[:5]}"


def _range(least, most):
    return str(least) if least == most else f"{least} to {most}"
