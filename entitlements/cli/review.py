"""`entitlements review`: the accounts that should move to another tier."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import find_account
from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.formatting import align_columns
from entitlements.cli.loading import accounts_path, open_accounts, open_policy, parse_instant
from entitlements.cli.options import AccountsOption, AtOption, JsonOption, PolicyOption, StoreOption
from entitlements.model.display import in_words
from entitlements.model.problem import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.policy import Policy
    from entitlements.tiering.reviews import BaseReview, Review

EVENTS = "events"
"""The column of the accounts that lists events in the account's business, separated by `;`."""


@dataclass(slots=True)
class _Reviewer:
    """
    Reviews accounts, and collects the problems of those that cannot be reviewed.

    Args:
        policy: The policy in force.
        enforcer: Reads usage from the store; None without a store.
        now: The instant of the review, in microseconds since 1970.
        problems: One line for each account that cannot be reviewed.
    """

    policy: Policy
    enforcer: Enforcer | None
    now: int
    problems: list[str] = field(default_factory=list)

    def base(self, accounts: Iterable[Account], events: tuple[str, ...] = ()) -> BaseReview:
        """Return the reviews of accounts; *events* apply to each of them."""
        from entitlements.tiering.reviews import combine_reviews

        reviews = [self._review(account, (*events, *_events(account))) for account in accounts]
        return combine_reviews(self.policy, (each for each in reviews if each is not None))

    def _review(self, account: Account, events: tuple[str, ...]) -> Review | None:
        from entitlements.errors import AccountError, UnknownAccount
        from entitlements.policy.accounts import bind
        from entitlements.tiering.reviews import review as reviewed

        try:
            if self.enforcer:
                return self.enforcer.review(account, events=events)
            return reviewed(self.policy, bind(self.policy, account), now=self.now, events=events)
        except (AccountError, UnknownAccount) as error:
            self.problems.append(str(error))
        except ValueError as error:
            self.problems.append(f"account {account.id!r}: {EVENTS}: {error}")
        return None


def review(
    account: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT]", help="The account's id. Default: all.", show_default=False)
    ] = None,
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    store: StoreOption = None,
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EVENT", help="An event in the account's business; may be repeated."),
    ] = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show which accounts should move to another tier, and why.

    Considers revenue, usage of the last months, requests and events in the account's
    business (the column `events`, or --event). Exits with 1 if an account cannot be reviewed.
    """
    from entitlements.cli.console import CliConsole, warn
    from entitlements.enforcer import Enforcer

    if event and account is None:
        raise CommandError("--event is about one account; name it, or write a column `events`")
    now, loaded, path = parse_instant(at), open_policy(policy), accounts_path(accounts)
    file = open_accounts(path, loaded)
    enforcer = Enforcer(loaded, accounts={}, clock=lambda: now, store=store) if store else None
    reviewer = _Reviewer(loaded, enforcer, now)
    is_one = account is not None
    if account is None:
        reviewer.problems += [str(problem) for problem in file.problems if problem.severity is Severity.ERROR]
    base = reviewer.base(file if account is None else [find_account(account, path, file)], tuple(event or ()))
    lines = map(_account_lines, base.reviews) if is_one else [_base_lines(base, is_counted=store is not None)]
    CliConsole().write_answer(
        lambda: _to_json(base, reviewer.problems, is_one=is_one), chain.from_iterable(lines), as_json=as_json
    )
    if is_one or not as_json:
        warn(*reviewer.problems, style="red")
    return ExitCode.NO if reviewer.problems else ExitCode.YES


def _events(account: Account) -> tuple[str, ...]:
    """Return the events in the account's column of that name."""
    from entitlements.tiering.criterion_values import attribute_name

    cells = [str(value) for name, value in account.attributes.items() if attribute_name(name) == EVENTS]
    return tuple(attribute_name(event) for cell in cells for event in cell.split(";") if event.strip())


def _to_json(base: BaseReview, problems: list[str], *, is_one: bool) -> dict[str, object]:
    if is_one and base.reviews:
        return base.reviews[0].to_dict()
    return base.to_dict() | {"problems": problems}


def _account_lines(review: Review) -> Iterator[str]:
    to = f" to {review.to}" if review.to else ""
    notice = f", after a notice of {in_words(review.notice)}" if review.notice else ""
    yield f"{review.account} ({review.tier}): {review.action}{to}{notice}"
    for heading, lines in (
        ("because", [reason.text for reason in review.reasons]),
        ("also", [f"{other.text} ({other.speaks_for})" for other in review.others]),
        ("not known", review.unknown),
        ("steps", review.process),
    ):
        for at, line in enumerate(lines):
            yield f"  {heading if at == 0 else '':<9}  {line}"


def _base_lines(base: BaseReview, *, is_counted: bool) -> Iterator[str]:
    yield from align_columns([("account", "tier", "action", "to", "because"), *map(_row, base.reviews)])
    yield ""
    for tier, actions in base.actions.items():
        yield f"{tier}: " + ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    if not is_counted:
        yield "usage was not looked at: add --store URL"


def _row(review: Review) -> tuple[str, str, str, str, str]:
    gap = review.assignment.gap
    reasons = [reason.text for reason in review.reasons] + ([gap.text] if gap else [])
    return review.account, review.tier, review.action, review.to or "", "; ".join(reasons)
