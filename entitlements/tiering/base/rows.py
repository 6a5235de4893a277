"""The accounts of a base as rows of figures, words and dates, with the problems of their cells."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from entitlements.model.account import Account
from entitlements.model.conditions import CriterionValue
from entitlements.model.criteria import Criterion, CriterionKind
from entitlements.model.display import fields_in_json
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.policy import PolicyData
from entitlements.tiering.criterion_values import attribute_name, read_attributes, read_value
from entitlements.tiering.dates import is_day_first, read_date
from entitlements.tiering.numbers import as_number
from entitlements.tiering.preview import own_tier

RENEWAL = "renewal-date"
"""The name of the date on which a contract is renewed."""

DATES = {RENEWAL: ("renewal-date", "renewal", "contract-end"), "churned": ("churned", "churn-date", "left-on")}
"""The attributes that hold each date."""

LAST_SEEN = "last-seen"
"""The name of the date of the last activity."""


@dataclass(frozen=True, slots=True)
class CellFault:
    """
    A cell that cannot be read, and counts as unknown.

    Args:
        account: The account's id.
        field: The attribute.
        problem: The problem.
        cure: The text to write instead.
    """

    account: str
    field: str
    problem: str
    cure: str

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class BaseRow:
    """
    One account of a base.

    Args:
        account: Its id.
        name: Its name; the id if it has none.
        tier: Its own tier.
        pays: The binding criterion of the assignment, such as the annual value; None if not known.
        figures: Known numbers by name: criteria of the policy, and the measures that a report asked for.
        words: Known words by name, such as the industry.
        dates: Known dates by name.
    """

    account: str
    name: str
    tier: str
    pays: Decimal | None
    figures: Mapping[str, Decimal]
    words: Mapping[str, str]
    dates: Mapping[str, date]


@dataclass(frozen=True, slots=True)
class Base:
    """
    A base of accounts.

    Args:
        rows: One per account, in order.
        faults: The cells that cannot be read.
        columns: The attributes that the accounts have, by normal name.
    """

    rows: tuple[BaseRow, ...]
    faults: tuple[CellFault, ...] = ()
    columns: frozenset[str] = frozenset()

    def by_tier(self, policy: PolicyData) -> Mapping[str, list[BaseRow]]:
        """Return the rows by tier, higher tiers first."""
        groups: dict[str, list[BaseRow]] = {}
        for row in self.rows:
            groups.setdefault(row.tier, []).append(row)
        return {tier: groups[tier] for tier in sorted(groups, key=lambda id: -policy.tiers[id].rank)}


@dataclass(slots=True)
class _BaseRowReader:
    policy: PolicyData
    measures: Collection[str]
    names: Mapping[str, str]
    orders: Mapping[str, bool | None]
    faults: list[CellFault] = field(default_factory=list)

    def row(self, account: Account, now: int, measured: Mapping[str, Decimal]) -> BaseRow:
        written = _written(account, self.names)
        rules = self.policy.assignment
        known: Mapping[str, CriterionValue] = {}
        if rules is not None:
            known, misfits = read_attributes(rules.criteria, written, account.id, currency=self.policy.currency)
            self.faults += (CellFault(account.id, each.field, each.problem, each.cure) for each in misfits)
        numbers = {name: number for name, value in known.items() if (number := as_number(value)) is not None}
        figures = {**dict(self._measures(account.id, written, numbers)), **numbers, **measured}
        words = {name: value for name, value in written.items() if isinstance(value, str) and value.strip()}
        return BaseRow(
            account.id,
            str(words.get("account-name", words.get("name", account.id))),
            own_tier(self.policy, account, now).id,
            numbers.get(rules.binding) if rules else None,
            FrozenDict(figures),
            FrozenDict({name: value.strip() for name, value in words.items()}),
            FrozenDict(dict(self._dates(account.id, words))),
        )

    def _measures(
        self, account: str, written: Mapping[str, object], known: Mapping[str, Decimal]
    ) -> Iterator[tuple[str, Decimal]]:
        for name in self.measures:
            raw = written.get(name)
            if name in known or raw is None or not str(raw).strip():
                continue
            try:
                number = as_number(read_value(Criterion(name, CriterionKind.AMOUNT, ()), _unmarked(raw)))
            except ValueError as error:
                self._add(account, name, str(error))
            else:
                if number is not None:
                    yield name, number

    def _dates(self, account: str, words: Mapping[str, str]) -> Iterator[tuple[str, date]]:
        for name, attributes in _dated().items():
            attribute = next((each for each in attributes if each in words), None)
            if attribute is None:
                continue
            try:
                yield name, read_date(words[attribute], day_first=self.orders.get(attribute))
            except ValueError as error:
                self._add(account, attribute, str(error))

    def _add(self, account: str, field: str, error: str) -> None:
        problem, _, cure = error.partition("; ")
        self.faults.append(CellFault(account, field, problem, cure))


def read_base(
    policy: PolicyData,
    accounts: Iterable[Account],
    *,
    now: int,
    measures: Collection[str] = (),
    columns: Mapping[str, str] | None = None,
    measured: Mapping[str, Mapping[str, Decimal]] | None = None,
) -> Base:
    """
    Return the rows of a base.

    Args:
        policy: The policy in force.
        accounts: The accounts, read under the policy; their tiers are known to it.
        now: Microseconds.
        measures: Names of attributes with numbers that are no criteria, such as `csat`.
        columns: Attributes by the name under which a report asks for them.
        measured: Newer measures by account, which replace the attributes.

    Raises:
        UnknownAccount: For an account with an unknown tier.
    """
    every = tuple(accounts)
    names = {attribute_name(heading): attribute_name(name) for name, heading in (columns or {}).items()}
    written = [_written(account, names) for account in every]
    has = frozenset(name for each in written for name in each)
    dated = [name for attributes in _dated().values() for name in attributes if name in has]
    orders = {name: is_day_first(str(each.get(name, "")) for each in written) for name in dated}
    reader = _BaseRowReader(policy, measures, names, orders)
    newer = measured or {}
    rows = tuple(reader.row(account, now, newer.get(account.id, {})) for account in every)
    return Base(rows, tuple(reader.faults), has)


def _dated() -> Mapping[str, tuple[str, ...]]:
    return {**DATES, LAST_SEEN: (LAST_SEEN, "last-activity", "last-login")}


def _written(account: Account, names: Mapping[str, str]) -> dict[str, object]:
    """Return the attributes of an account by normal name; a renamed one replaces one of its new name."""
    own = {attribute_name(name): value for name, value in account.attributes.items()}
    return own | {new: own[old] for old, new in names.items() if old in own}


def _unmarked(raw: object) -> object:
    """Return a number without a percent sign."""
    return raw.strip().removesuffix("%").strip() if isinstance(raw, str) else raw
