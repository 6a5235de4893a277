"""Simulated client: turns order templates into orders, by the charges that a store has admitted so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC

from entitlements.model.answers import Answer, Invalidated, Line, Outcome, Status
from entitlements.model.calendars import anchored
from entitlements.model.charge import (
    Charge,
    Forget,
    Invalidate,
    Order,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Release,
    ResetRate,
    Settle,
    SetUsage,
    Unassign,
    Verb,
)
from entitlements.model.instants import MINUTE
from entitlements.model.limits import Algorithm, Limit, Rate
from entitlements.model.names import MAX_COUNT
from entitlements.model.sequence import is_sequence, sequence_id
from entitlements.rules.periods import ends_of
from entitlements.testing.order_templates import OrderTemplate
from entitlements.testing.sample_limits import AGENTS, RATES

_PRODUCER = "0" * 16


@dataclass
class SimulatedClient:
    """
    A client of one account: fills in order templates, and records admitted charges for later ones.

    Args:
        account: The id of the account.
        exact: The store's clock is known to the microsecond. If not, token buckets keep one
            size, and neither they nor short windows are refunded: the units that have drained
            by then, and the record of them, depend on the instant.
    """

    account: str
    exact: bool = True
    charges: list[tuple[Charge, Outcome]] = field(default_factory=list)
    reservations: list[Charge] = field(default_factory=list)
    operations: int = 0
    versions: list[int] | None = None
    """The account's versions, the latest one last; None if the store keeps none."""

    def order(self, template: OrderTemplate, now: int) -> Order:
        """Return the order for a template, at the store's instant *now*."""
        parts = template.parts if self.exact else tuple(_with_fixed_size(part) for part in template.parts)
        dated = _dated(parts, template, now)
        match template.kind:
            case "one-rate":
                return Charge(self.account, dated, scope=_scope(dated, template), version=self._version(template))
            case "charge" | "reserve" | "assign":
                return self._charge(dated, template, now)
            case "read":
                read = tuple(part._replace(cost=1) for part in dated)
                return Read(self.account, read, _scope(dated, template), self._version(template))
            case "invalidate" if self.versions is not None:
                return Invalidate(self.account)
            case "settle":
                return self._settle(template, now)
            case "refund":
                return self._refund(template)
            case "again" | "recall":
                return self._repeat(template)
            case "release":
                return Release(self.account, dated[0].limit.name, template.pick, _scope(dated, template))
            case "unassign":
                return Unassign(self.account, dated[0].limit.name, template.holder, _scope(dated, template))
            case "set-usage":
                return SetUsage(self.account, dated[0], scope=_scope(dated, template))
            case "reset":
                return ResetRate(self.account, dated[0], _scope(dated, template))
            case "history":
                return ReadHistory(self.account, dated[0], _scope(dated, template))
            case "holders":
                return ReadHolders(self.account, dated[0].limit.name, _scope(dated, template))
            case "forget-scope":
                return Forget(self.account, (template.scope,))
            case "invalidate":
                return ReadHolders(self.account, AGENTS.name)
            case _:
                return Forget(self.account)

    def record(self, order: Order, answer: Answer) -> None:
        """Record an admitted charge and a version, for later templates to refer to."""
        if isinstance(answer, Invalidated) and self.versions is not None:
            self.versions.append(answer.version)
        if isinstance(order, Charge) and isinstance(answer, Outcome) and answer.status is Status.ADMITTED:
            if order.verb is not Verb.PEEK:
                self.charges.append((order, answer))
            if order.verb is Verb.RESERVE:
                self.reservations.append(order)

    def _charge(self, parts: tuple[Part, ...], template: OrderTemplate, now: int) -> Charge:
        only_rates = all(isinstance(part.limit, Rate) for part in parts)
        verb = Verb.ASSIGN if template.kind == "assign" else template.verb
        lasting = all(_is_durable(part.limit) for part in parts if isinstance(part.limit, Rate))
        if verb is Verb.RESERVE and not (self.exact or lasting):  # a commit would return units that have drained
            verb = Verb.CONSUME
        self.operations += 1
        consumes = verb is Verb.CONSUME
        own = sequence_id(_PRODUCER, self.operations) if consumes else f"o:{self.operations}"
        operation: str | None = template.key or own
        if verb is Verb.PEEK or (template.key is None and only_rates and verb is Verb.CONSUME):
            operation = None
        holder = template.holder if verb is Verb.ASSIGN else None
        keyed = operation is not None and template.key is not None
        ttl = template.ttl if verb is Verb.RESERVE else 0
        made_at = max(0, now - template.late) if template.late and operation is not None else None
        scope = _scope(parts, template)
        version = self._version(template)
        return Charge(self.account, parts, verb, scope, operation, keyed, ttl, holder, made_at=made_at, version=version)

    def _version(self, template: OrderTemplate) -> int | None:
        if self.versions is None or template.version is None:
            return None
        return self.versions[max(0, len(self.versions) - 1 - template.version)]

    def _settle(self, template: OrderTemplate, now: int) -> Settle:
        if not self.reservations:
            return Settle(self.account, "o:unknown", None)
        reserved = self.reservations[-1 - template.pick % len(self.reservations)]
        held, which = reserved.parts, template.amounts
        amounts = which if isinstance(which, int) else _amounts(which, held)
        retry = None
        if template.flag:
            retry = Charge(
                self.account,
                _dated(held, template, now),
                scope=reserved.scope,
                operation=f"{reserved.operation}:retry",
                version=self._version(template),
            )
        return Settle(self.account, reserved.operation or "", amounts, retry, scope=reserved.scope)

    def _refund(self, template: OrderTemplate) -> Refund:
        if not self.charges:
            return Refund(self.account, "o:unknown", rates=True)
        charge, outcome = self.charges[-1 - template.pick % len(self.charges)]
        lines = zip(charge.parts, outcome.lines, strict=True)
        taken = {part.limit.name: (part, line) for part, line in lines if isinstance(part.limit, Rate)}
        others = {rate.name: (Part(rate, 1), Line(True, 0)) for rate in RATES}
        rates = tuple({**others, **taken}.values())  # its id may stand for a later charge of other rates
        if is_sequence(charge.operation):
            rates = tuple(zip(charge.parts, outcome.lines, strict=True))
        rates = tuple(each for each in rates if self.exact or _is_durable(each[0].limit))
        dated = charge.keyed or is_sequence(charge.operation)
        charged_at = outcome.now if dated and template.pick % 2 else None
        return Refund(self.account, charge.operation, template.flag, rates, charge.scope, charged_at=charged_at)

    def _repeat(self, template: OrderTemplate) -> Order:
        if not self.charges:
            return ReadHolders(self.account, AGENTS.name)
        charge = self.charges[-1 - template.pick % len(self.charges)][0]
        if is_sequence(charge.operation):  # only a networked store ever gets it twice
            return ReadHolders(self.account, AGENTS.name)
        return charge if charge.operation is None or template.kind == "again" else Recall(charge)


def _dated(parts: tuple[Part, ...], template: OrderTemplate, now: int) -> tuple[Part, ...]:
    calendar, at = anchored(template.anchor, UTC), max(0, now + template.skew)
    return tuple(
        part if isinstance(part.limit, Rate) else part._replace(ends=ends_of(part.limit, calendar, at))
        for part in parts
    )


def _scope(parts: tuple[Part, ...], template: OrderTemplate) -> str | None:
    return template.scope if any(part.limit.per for part in parts) else None


def _amounts(which: str, held: tuple[Part, ...]) -> tuple[tuple[str, int], ...] | None:
    if which == "all":
        return None
    half = tuple((part.limit.name, part.cost // 2) for part in held)
    more = tuple((part.limit.name, min(MAX_COUNT, part.cost + 1 + at)) for at, part in enumerate(held))
    return {"none": (), "half": half, "more": more, "one": more[:1], "foreign": (("other", 1),)}[which]


def _is_bucket(limit: Limit) -> bool:
    return isinstance(limit, Rate) and limit.algorithm is Algorithm.TOKEN_BUCKET


def _is_durable(limit: Limit) -> bool:
    """Return True if the units of a charge still count, whole, seconds later."""
    return isinstance(limit, Rate) and limit.window >= MINUTE and not _is_bucket(limit)


def _with_fixed_size(part: Part) -> Part:
    return part._replace(size=10) if _is_bucket(part.limit) and part.size else part
