"""Findings of the review; the library computes them."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from base import NOW, load_accounts, load_policy, replayed

from entitlements import Policy, Usage
from entitlements.model.instants import to_instant
from entitlements.model.limits import Allocation, Quota
from entitlements.tiering.reviews import BaseReview, Review, combine_reviews
from entitlements.tiering.segmentation import SegmentedAccount, segment, thresholds
from entitlements.tiering.service_costs import AccountServices, BaseServices, serve_base
from entitlements.tiering.services import tier_lines
from entitlements.tiering.triggers import Action

NEAR = Decimal(80)  # percent of a limit from which a meter is listed


@dataclass(frozen=True)
class Customer:
    """An account's name, tier, annual value and renewal date."""

    id: str
    name: str
    tier: str
    pays: Decimal | None
    renewal: str


@dataclass(frozen=True)
class Meter:
    """A limit of an account that is used up or nearly so."""

    customer: Customer
    limit: str
    used: int
    of: int
    denied: int
    months: tuple[int, ...]  # oldest first; empty for an allocation, which keeps no months

    @property
    def percent(self) -> int:
        return self.used * 100 // self.of


@dataclass(frozen=True)
class Row:
    """One tier of the base."""

    tier: str
    name: str
    accounts: int
    pays: Decimal
    share: Decimal
    cost: Decimal
    value: Decimal
    cost_share: Decimal | None
    over: int
    under: int
    free: int
    services: int
    nps: Decimal | None
    adoption: Decimal | None
    cases: Decimal | None
    actions: dict[str, int]


@dataclass(frozen=True)
class Findings:
    """The whole review."""

    policy: Policy
    customers: dict[str, Customer]
    tiers: list[Row]
    whole: Row
    reviews: BaseReview
    moves: list[Review]
    services: BaseServices
    over: list[AccountServices]
    under: list[AccountServices]
    meters: list[Meter]
    shares: list[SegmentedAccount]
    least: dict[str, Decimal]
    gaps: list[Review]
    busy: list[tuple[Customer, int]]


ORDER = (Action.UPGRADE, Action.DOWNGRADE, Action.CLOSE, Action.OPTIMISE)


def find() -> Findings:
    """Review the base."""
    policy = load_policy()
    accounts = load_accounts(policy)
    enforcer = replayed(policy, accounts)
    found = [enforcer.review(each, events=_events(each)) for each in accounts]
    customers = {each.id: _customer(each, review) for each, review in zip(accounts, found, strict=True)}
    reviews = combine_reviews(policy, found)
    services = serve_base(policy, accounts, now=to_instant(NOW))
    shares = list(segment(policy, accounts, by="arr-share"))
    moves = [each for each in found if each.action is not Action.KEEP]
    moves.sort(key=lambda each: (ORDER.index(each.action), -(customers[each.account].pays or 0)))
    served = {each.account: each for each in services.accounts}
    return Findings(
        policy,
        customers,
        [_row(policy, each, reviews, services) for each in services.tiers],
        _row(policy, services.whole, reviews, services),
        reviews,
        moves,
        services,
        sorted((served[id] for id in services.whole.over if served[id].against), key=_too_much, reverse=True),
        [served[id] for id in services.whole.under],
        sorted(
            _meters(policy, enforcer, customers), key=lambda each: (-each.percent, -each.denied, each.customer.name)
        ),
        shares,
        dict(thresholds(policy, shares)),
        [each for each in found if each.assignment.gap is not None],
        _busy(enforcer, customers, found),
    )


def _events(account) -> tuple[str, ...]:
    return tuple(event.strip() for event in account.attributes["events"].split(";") if event.strip())


def _customer(account, review) -> Customer:
    pays = review.assignment.criteria["annual-value"]
    return Customer(
        account.id, account.attributes["account_name"], review.tier, pays, account.attributes["renewal_date"]
    )


def _too_much(served: AccountServices) -> Decimal:
    return served.cost - served.against


def _row(policy, group, reviews, services) -> Row:
    tier, whole = group.tier, services.whole
    spread = reviews.compared.get(tier, {})
    actions = reviews.actions.get(tier) if tier else sum(map(Counter, reviews.actions.values()), Counter())
    pays = {each.account: each.against for each in services.accounts}
    dear = [id for id in group.over if pays[id]]
    middle = {name: spread[name].middle for name in ("nps", "adoption", "open-cases") if name in spread}
    return Row(
        tier or "",
        policy.tiers[tier].name if tier else "All accounts",
        group.accounts,
        group.against,
        Decimal(100) * group.against / whole.against,
        group.cost,
        group.value,
        group.share,
        len(dear),
        len(group.under),
        len(group.over) - len(dear),
        len(tier_lines(policy, tier)) if tier else 0,
        middle.get("nps"),
        middle.get("adoption"),
        middle.get("open-cases"),
        {action.value: count for action, count in actions.items()},
    )


def _meters(policy, enforcer, customers):
    for customer in customers.values():
        usage = enforcer.usage(customer.id)
        for name, limit in policy.limits.items():
            if isinstance(limit, Quota):
                yield from _of_months(enforcer, customer, name)
            elif isinstance(limit, Allocation):
                yield from _held(customer, name, usage[name])


def _of_months(enforcer, customer, name):
    _running, *finished = enforcer.history(customer.id, name)
    last = finished[0] if finished else None
    if last and isinstance(last.limit, int) and last.used * 100 >= NEAR * last.limit > 0:
        months = tuple(period.used + period.denied for period in reversed(finished[:6]))
        yield Meter(customer, name, last.used, last.limit, last.denied, months)


def _held(customer, name, usage: Usage):
    if isinstance(usage.limit, int) and usage.used * 100 >= NEAR * usage.limit > 0:
        yield Meter(customer, name, usage.used, usage.limit, 0, ())


def _busy(enforcer, customers, found) -> list[tuple[Customer, int]]:
    """Return the accounts whose open cases have reached their tier's threshold for the CSM."""
    busy = []
    for review in found:
        cases = review.assignment.criteria["open-cases"]
        watched = cases is not None and enforcer.can(review.account, "service.support-case-monitoring")
        if watched and cases >= enforcer.value(review.account, "support-cases.threshold"):
            busy.append((customers[review.account], cases))
    return sorted(busy, key=lambda each: -each[1])
