"""
Health of every account of a base, from measures, with its trend and its risk.

The score is that of `tiering.health`; a component without a score of its own is computed
from its measures (`tiering.health_scales`). The bounds of a risk are values of the tier:
`health.risk.high-below`, `health.risk.medium-below` and `health.risk.fall`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from entitlements.model.account import Account
from entitlements.model.display import fields_in_json
from entitlements.model.entitlements import Entitlements
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.rules.resolve import resolve
from entitlements.tiering.health import Health, health, scores_in
from entitlements.tiering.health_scales import SCALES, MeasureScore, component_scores, scale_scores, scales_of
from entitlements.tiering.value_faults import written_number

TREND_MONTHS = "health.trend-months"
"""The value of a tier: the months between the two scores of a trend."""

_RISK = "health.risk."


class Risk(StrEnum):
    """The risk that an account leaves."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """
    The health of one account.

    Args:
        health: Its score and components.
        measures: The measures of its tier's scales, with their scores.
        before: The score as many months earlier as the tier's trend spans; None if not known.
        risk: The risk.
        because: The reasons of the risk, one sentence each.
    """

    health: Health
    measures: tuple[MeasureScore, ...]
    before: Decimal | None
    risk: Risk
    because: tuple[str, ...]

    @property
    def trend(self) -> Decimal | None:
        """The change of the score since *before*; None if either is not known."""
        return None if self.before is None or self.health.score is None else self.health.score - self.before

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """The measures that are not known."""
        return tuple(each.measure for each in self.measures if each.figure is None)

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        return fields_in_json(self) | {"trend": None if self.trend is None else float(self.trend)}


def measure_names(policy: PolicyData) -> tuple[str, ...]:
    """Return the measures that have a scale in any tier of the policy, sorted."""
    keys = (key.removeprefix(SCALES).split(".") for key in policy.keys if key.startswith(SCALES))
    return tuple(sorted({parts[1] for parts in keys if len(parts) == 3}))


def trend_months(values: Mapping[str, object]) -> int:
    """Return the months of a tier's trend; 3 if it has none."""
    return int(written_number(values.get(TREND_MONTHS)) or 3)


def account_health(
    policy: PolicyData,
    account: Account,
    *,
    now: int,
    figures: Mapping[str, Decimal],
    earlier: Mapping[str, Decimal] | None = None,
    warnings: Iterable[str] = (),
) -> AccountHealth:
    """
    Return the health of an account.

    Args:
        policy: The policy in force.
        account: The account, read under the policy; scores of components among its attributes count as they are.
        now: Microseconds.
        figures: The newest measures.
        earlier: The measures of the month with which the trend begins.
        warnings: Other reasons of a risk, such as a renewal soon; with a score that is not good they raise it.

    Raises:
        AccountError: For a score that is not a number from 0 to 100.
        PolicyError: For weights, measures or scales that cannot be read.
    """
    entitlements = resolve(policy, account, now)
    values = resolution_of(entitlements).values
    scales = scales_of(values)
    scored = scale_scores(scales, figures)
    own = scores_in(entitlements, account.attributes)
    found = health(entitlements, component_scores(scales, scored) | own)
    before = None
    if earlier:
        past = component_scores(scales, scale_scores(scales, earlier))
        before = health(entitlements, past | own).score if past else None
    risk, because = _risk(entitlements, found, before, tuple(warnings))
    return AccountHealth(found, scored, before, risk, because)


def _risk(
    entitlements: Entitlements, found: Health, before: Decimal | None, warnings: tuple[str, ...]
) -> tuple[Risk, tuple[str, ...]]:
    values = resolution_of(entitlements).values
    high, medium, fall = (
        written_number(values.get(f"{_RISK}{word}")) for word in ("high-below", "medium-below", "fall")
    )
    score = found.score
    if score is None:
        return Risk.UNKNOWN, warnings
    reasons = list(_reasons(score, before, high, medium, fall))
    levels = {level for level, _ in reasons}
    texts = tuple(text for _, text in reasons)
    if Risk.HIGH in levels or (Risk.MEDIUM in levels and warnings):
        return Risk.HIGH, texts + warnings
    return (Risk.MEDIUM, texts + warnings) if levels or warnings else (Risk.LOW, ())


def _reasons(
    score: Decimal, before: Decimal | None, high: Decimal | None, medium: Decimal | None, fall: Decimal | None
) -> Iterator[tuple[Risk, str]]:
    if high is not None and score < high:
        yield Risk.HIGH, f"health {score} is below {high}"
    elif medium is not None and score < medium:
        yield Risk.MEDIUM, f"health {score} is below {medium}"
    if fall is not None and before is not None and before - score >= fall:
        yield Risk.MEDIUM, f"health fell by {before - score}, from {before} to {score}"
