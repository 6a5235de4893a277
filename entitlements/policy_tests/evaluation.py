"""Asks a policy the questions of a tests file, and compares its answers with the expected ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from entitlements.errors import AccountError, UnknownAccount
from entitlements.model.account import Account
from entitlements.model.display import in_json, in_words
from entitlements.model.entitlements import Entitlements
from entitlements.model.instants import to_datetime
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.policy.accounts import bind
from entitlements.policy_tests.expected import is_yes_or_no
from entitlements.policy_tests.tables import AnswerCase
from entitlements.rules.resolve import resolve


@dataclass(frozen=True, slots=True)
class Mismatch:
    """
    A question with another answer than the expected one.

    Args:
        file: The tests file.
        line: The line of the expected answer.
        subject: The account or tier.
        at: The instant (aware, UTC).
        name: The name that was asked; empty for an expected error.
        expected: The expected answer, in words.
        answer: The answer of the policy, in words.
        source: The source of that answer, such as `tier:pro`; empty if there is none.
    """

    file: str
    line: int
    subject: str
    at: datetime
    name: str
    expected: str
    answer: str
    source: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        return {name: in_json(getattr(self, name)) for name in self.__dataclass_fields__}


def evaluate(policy: PolicyData, cases: Iterable[AnswerCase]) -> Iterator[Mismatch]:
    """Yield the cases that *policy* answers in another way."""
    for case in cases:
        found = _check(policy, case)
        if found is not None:
            expected, answer, source = found
            at = to_datetime(case.now)
            yield Mismatch(
                case.location.file, case.location.line, case.subject, at, case.name, expected, answer, source
            )


def _check(policy: PolicyData, case: AnswerCase) -> tuple[str, str, str] | None:
    """Return the expected answer, the answer and its source, if the two differ."""
    resolved = _resolved(policy, case.account, case.now)
    if not case.name:
        text = str(case.expected)
        answer = resolved if isinstance(resolved, str) else "no error"
        return None if text in answer and isinstance(resolved, str) else (f"an error with {text!r}", answer, "")
    if isinstance(resolved, str):
        return in_words(case.expected), f"an error: {resolved}", ""
    given = _answer(policy, resolved, case)
    if case.expected == given:
        return None
    return in_words(case.expected), in_words(given), _source(resolved, case.name)


def _resolved(policy: PolicyData, account: Account, now: int) -> Entitlements | str:
    """Return the entitlements of an account; the message if it is a bad one."""
    try:
        return resolve(policy, bind(policy, account), now)
    except (AccountError, UnknownAccount) as error:
        return str(error)


def _answer(policy: PolicyData, resolved: Entitlements, case: AnswerCase) -> object:
    if is_yes_or_no(policy, case.name, case.expected):
        return resolved.can(case.name)
    if case.name in policy.limits:
        return resolution_of(resolved).limits.get(case.name, NOT_INCLUDED)
    return resolved.value(case.name)


def _source(resolved: Entitlements, name: str) -> str:
    resolution, base = resolution_of(resolved), name.partition(":")[0]
    winner, _ = resolution.adjustments.get(base, (None, ()))
    tier = resolution.in_force
    return winner or ("" if tier is None else f"tier:{tier.origins.get(base, tier.id)}")
