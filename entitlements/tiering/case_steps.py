"""The steps of transition cases as records that are kept: which are open, which are late. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from entitlements.model.display import fields_in_json
from entitlements.tiering.transition_cases import TransitionCase


@dataclass(frozen=True, slots=True)
class CaseStep:
    """
    One step of a case, as it is kept.

    Args:
        account: The account's id.
        from_tier: The tier that it had when the case was opened.
        to: The new tier; empty if the account closes.
        action: The recommended action.
        opened: The instant at which the case was opened (aware, UTC).
        effective: The first instant at which the change can take effect.
        number: The step's number, from 1.
        text: The step.
        owner: The role that does it; empty if there is none.
        due: The instant by which it is due; None for no time.
        done: The instant at which it was done; None while it is open.
    """

    account: str
    from_tier: str
    to: str
    action: str
    opened: datetime
    effective: datetime
    number: int
    text: str
    owner: str = ""
    due: datetime | None = None
    done: datetime | None = None

    to_dict = fields_in_json

    def is_late(self, now: datetime) -> bool:
        """Return True if the step is open after its due time, or was done after it."""
        return self.due is not None and self.due < (now if self.done is None else self.done)


def steps_of(case: TransitionCase) -> tuple[CaseStep, ...]:
    """Return the steps of a case; those of a later change without a time are due when it takes effect."""
    last = case.effective if case.effective > case.opened else None
    return tuple(
        CaseStep(
            case.account,
            case.from_tier,
            case.to or "",
            case.action.value,
            case.opened,
            case.effective,
            step.number,
            step.text,
            step.owner,
            step.due or last,
        )
        for step in case.steps
    )


def new_steps(kept: Iterable[CaseStep], cases: Iterable[TransitionCase]) -> list[CaseStep]:
    """Return the steps of each case whose account has no open step yet."""
    busy = {step.account for step in kept if step.done is None}
    return [step for case in cases if case.account not in busy for step in steps_of(case)]


def done_step(kept: Iterable[CaseStep], account: str, number: int, now: datetime) -> CaseStep:
    """
    Return the open step *number* of an account, done.

    Raises:
        ValueError: For an account without such an open step.
    """
    every = [each for each in kept if each.account == account and each.done is None]
    found = next((each for each in every if each.number == number), None)
    if found is None:
        numbers = ", ".join(str(each.number) for each in every) or "none"
        raise ValueError(f"account {account!r} has no open step {number}; it has {numbers}")
    return replace(found, done=now)


def open_steps(
    kept: Iterable[CaseStep], now: datetime, *, account: str | None = None, role: str | None = None, late: bool = False
) -> Iterator[CaseStep]:
    """
    Yield the open steps, the most urgent first; those without a time last.

    Args:
        kept: The steps.
        now: The instant (aware).
        account: Only of this account.
        role: Only of this role, in any case.
        late: Only those that are late.
    """
    wanted = [
        each
        for each in kept
        if each.done is None
        and (account is None or each.account == account)
        and (role is None or each.owner.casefold() == role.casefold())
        and (not late or each.is_late(now))
    ]
    yield from sorted(wanted, key=lambda each: (each.due is None, each.due or now, each.account, each.number))
