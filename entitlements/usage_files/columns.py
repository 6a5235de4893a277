"""The columns of a usage file: the account, the month, limits of the policy and measures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from entitlements.errors import AccountError
from entitlements.model.limits import Limit
from entitlements.model.names import nearest_or_all
from entitlements.model.policy import PolicyData, counted_limits
from entitlements.policy.quantities import BYTE_UNITS
from entitlements.tiering.criterion_values import attribute_name

_KEYS = {
    "account": ("account", "account-id", "id", "account-name", "customer"),
    "month": ("month", "period", "date"),
}
_UNITS = {unit.lower(): size for unit, size in BYTE_UNITS.items()}


class UsagePart(StrEnum):
    """The meaning of a column."""

    USED = "used"  # units of a limit: of the month for a quota, held at its end for an allocation
    DENIED = "denied"  # units of a limit that were refused in the month
    SIZE = "size"  # the size of a limit in the month
    MEASURE = "measure"  # a figure that is no limit, such as CSAT


@dataclass(frozen=True, slots=True)
class UsageColumn:
    """
    One column with figures.

    Args:
        at: Its index.
        heading: Its heading, as written.
        part: Its meaning.
        name: The limit, or the measure.
        factor: The units of one: 10**9 for a column in GB.
    """

    at: int
    heading: str
    part: UsagePart
    name: str
    factor: int = 1


@dataclass(frozen=True, slots=True)
class UsageColumns:
    """
    The columns of a usage file.

    Args:
        account: The index of the accounts' ids.
        month: The index of the months.
        figures: The columns with figures.
        lacking: One sentence for each limit and measure without a column, with the option that names it.
    """

    account: int
    month: int
    figures: tuple[UsageColumn, ...]
    lacking: tuple[str, ...]


def choose_usage_columns(
    file: str,
    policy: PolicyData,
    headings: Sequence[str],
    given: Mapping[str, str] | None = None,
    measures: Collection[str] = (),
) -> UsageColumns:
    """
    Return the columns of a usage file.

    Args:
        file: Its name, for messages.
        policy: The policy with the limits.
        headings: The headings; `Leads`, `leads-denied`, `storage_gb` and `agents size` are recognised.
        given: Headings by name, which replace those that would be recognised.
        measures: The names of measures that are read too.

    Raises:
        AccountError: Without a column of accounts or months, and for a heading that the file does not have.
        ValueError: For a name in *given* that is no limit, measure, `account` or `month`.
    """
    limits = {name: policy.limits[name] for name in counted_limits(policy)}
    names = _names(limits, measures)
    chosen = {} if given is None else {attribute_name(name): heading for name, heading in given.items()}
    for name in chosen:
        if name not in names and name not in _KEYS:
            raise ValueError(f"{name!r} is no column of a usage file{nearest_or_all(name, (*_KEYS, *names))}")
    found = {attribute_name(heading): at for at, heading in reversed(list(enumerate(headings)))}
    places = {name: _place(file, headings, heading) for name, heading in chosen.items()}
    keys = {key: _key(file, headings, key, places, found) for key in _KEYS}
    columns = []
    for name, (part, target) in names.items():
        at = places.get(name, found.get(name))
        factor = 1
        if at is None or part is UsagePart.USED:
            at, factor = _in_bytes(limits.get(target), name, found, at, is_given=name in places)
        if at is not None and at not in keys.values():
            columns.append(UsageColumn(at, headings[at], part, target, factor))
    has = {(column.part, column.name) for column in columns}
    return UsageColumns(keys["account"], keys["month"], tuple(columns), tuple(_lacking(file, limits, measures, has)))


def _names(limits: Mapping[str, Limit], measures: Collection[str]) -> dict[str, tuple[UsagePart, str]]:
    """Return the meaning of each name that a heading may have."""
    names = {measure: (UsagePart.MEASURE, measure) for measure in measures}
    for name in limits:
        own = attribute_name(name)
        names |= {own: (UsagePart.USED, name), f"{own}-denied": (UsagePart.DENIED, name)}
        names |= {f"{own}-size": (UsagePart.SIZE, name)}
    return names


def _place(file: str, headings: Sequence[str], heading: str) -> int:
    wanted = attribute_name(heading)
    for at, each in enumerate(headings):
        if attribute_name(each) == wanted:
            return at
    raise AccountError(f"{file}: no column {heading!r}{nearest_or_all(heading, headings)}")


def _key(file: str, headings: Sequence[str], key: str, places: Mapping[str, int], found: Mapping[str, int]) -> int:
    at = places.get(key, next((found[name] for name in _KEYS[key] if name in found), None))
    if at is None:
        has = ", ".join(repr(heading) for heading in headings) or "none"
        raise AccountError(f"{file}: no column {key!r}; the headings are {has}; name it: --usage-column {key}=HEADING")
    return at


def _in_bytes(
    limit: Limit | None, name: str, found: Mapping[str, int], at: int | None, *, is_given: bool
) -> tuple[int | None, int]:
    """Return the index of a limit's column and its factor; a limit in bytes may have a column in larger units."""
    if limit is None or limit.unit != "byte" or is_given:
        return at, 1
    units = ((found[f"{name}-{unit}"], size) for unit, size in _UNITS.items() if f"{name}-{unit}" in found)
    return (at, 1) if at is not None else next(units, (None, 1))


def _lacking(
    file: str, limits: Mapping[str, Limit], measures: Collection[str], has: Collection[tuple[UsagePart, str]]
) -> list[str]:
    texts = [
        f"{file}: no column of {name}, so its usage is not known, and no account with it counts as underused; "
        f"name it: --usage-column {name}=HEADING"
        for name in limits
        if (UsagePart.USED, name) not in has
    ]
    texts += [
        f"{file}: no column of refusals of {name}, so only what was used counts; name it: "
        f"--usage-column {name}-denied=HEADING"
        for name in limits
        if (UsagePart.USED, name) in has and (UsagePart.DENIED, name) not in has
    ]
    return texts + [
        f"{file}: no column of {name}, so health is computed without it; name it: --usage-column {name}=HEADING"
        for name in measures
        if (UsagePart.MEASURE, name) not in has
    ]
