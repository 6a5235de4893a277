"""`entitlements review`: the accounts that should move to another tier."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from entitlements.cli.context import find_account
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.loading import accounts_path, open_accounts, open_policy, parse_instant, policy_path
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption, StoreOption
from entitlements.cli.usage_source import NO_USAGE, UsageColumnOption, UsageOption, UsageSource, open_usage, parse_pairs
from entitlements.errors import AccountError
from entitlements.model.display import in_json, in_words
from entitlements.model.problem import Severity
from entitlements.presentation.formatting import align_columns, first_lines, format_time
from entitlements.tiering.contracts import Contracts
from entitlements.tiering.criterion_values import attribute_name
from entitlements.tiering.numbers import as_whole
from entitlements.tiering.terms import NODE
from entitlements.tiering.transition_cases import case_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.text import Text

    from entitlements.model.account import Account
    from entitlements.policy import Policy
    from entitlements.tiering.reviews import BaseReview, Review
    from entitlements.tiering.transition_cases import TransitionCase
    from entitlements.tiering.triggers import FeatureRequest

EVENTS = "events"
"""The column of the accounts that lists events in the account's business, separated by `;`."""

REQUESTS = "requests"
"""The column of the accounts that lists the features it was denied, separated by `;`: `sso; white-label=3`."""

SHOWN = 10
"""Remarks on a usage file that are listed; the rest is counted."""


@dataclass(slots=True)
class BaseReviewer:
    """
    Reviews accounts, and collects the problems of those that cannot be reviewed.

    Args:
        policy: The policy in force.
        source: The measured usage; None if it is not looked at.
        now: The instant of the review, in microseconds since 1970.
        problems: One line for each account that cannot be reviewed.
    """

    policy: Policy
    source: UsageSource | None
    now: int
    problems: list[str] = field(default_factory=list)
    contracts: Contracts = field(init=False)

    def __post_init__(self) -> None:
        """Refuse a policy by which every account would stay as it is."""
        policy = self.policy
        self.contracts = Contracts(policy, self.now)
        if policy.assignment is None and not any(key.startswith(f"{NODE}.") for key in policy.keys):
            raise CommandError(
                f"policy {policy.version} has no section `assignment` and no values below `{NODE}`, so there is nothing"
                " to review by; write one of them (docs/tiering.md)"
            )

    def base(self, accounts: Iterable[Account], events: tuple[str, ...] = ()) -> BaseReview:
        """Return the reviews of accounts; *events* apply to each of them."""
        from entitlements.tiering.reviews import combine_reviews

        reviews = [self.review(account, events) for account in accounts]
        return combine_reviews(self.policy, (each for each in reviews if each is not None))

    def review(self, account: Account, events: tuple[str, ...] = ()) -> Review | None:
        """Return the review of an account; None, and a problem, if it cannot be reviewed."""
        from entitlements.errors import AccountError, UnknownAccount
        from entitlements.policy.accounts import bind
        from entitlements.tiering.reviews import review as reviewed

        try:
            bound = bind(self.policy, account)
            contract = self.contracts.of(bound)
            measured = self.source.measured(bound, contract) if self.source else None
            events = (*events, *map(attribute_name, _items(account, EVENTS)))
            return reviewed(
                self.policy,
                bound,
                now=self.now,
                measured=measured,
                requests=_requests(account),
                events=events,
                contract=contract,
            )
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
    id: IdOption = "id",
    usage: UsageOption = None,
    usage_column: UsageColumnOption = None,
    store: StoreOption = None,
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EVENT", help="An event in the account's business; may be repeated."),
    ] = None,
    at: AtOption = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="CSV", help="Write the reviews of all accounts into a file; resumable."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="With --output: processes.", min=1)] = 2,
    as_json: JsonOption = False,
) -> int:
    """
    Show which accounts should move to another tier, and why.

    Considers revenue, usage of the last months, requests (the column `requests`) and events
    in the account's business (the column `events`, or --event). Exits with 1 if an account
    cannot be reviewed, or the usage of one cannot be read.

    With --output a base of any size is reviewed in several processes. An interrupted run goes
    on where it was when it is started again.
    """
    from entitlements.cli.console import CliConsole, warn
    from entitlements.cli.styles import headed, style_of_action

    if output is not None:
        if account is not None or store or event or (usage is not None and "://" in usage):
            raise CommandError(
                "--output is about all accounts, with usage of a file; leave ACCOUNT, --event, --store and"
                " ENTITLEMENTS_STORE out"
            )
        return _write_all(
            policy,
            accounts,
            output,
            id=id,
            usage=usage,
            columns=usage_column,
            at=at,
            workers=workers,
            as_json=as_json,
        )

    if event and account is None:
        raise CommandError("--event is about one account; name it, or write a column `events`")
    now, loaded, path = parse_instant(at), open_policy(policy), accounts_path(accounts)
    file = open_accounts(path, loaded, id=id)
    source = open_usage(loaded, now, usage=usage, store=store, columns=usage_column)
    reviewer = BaseReviewer(loaded, source, now)
    is_one = account is not None
    if account is None:
        reviewer.problems += [str(problem) for problem in file.problems if problem.severity is Severity.ERROR]
    base = reviewer.base(file if account is None else [find_account(account, path, file)], tuple(event or ()))
    if source is not None and source.file is not None:
        remarks = source.remarks(file.ids())
        reviewer.problems += map(str, source.file.problems)
        warn(*first_lines(remarks, SHOWN, "… and {:,} more remarks on the usage: --json tells all"))
    cases = {each.account: case for each in base.reviews if (case := case_of(loaded, each, now, ZoneInfo))}
    lines = (
        [headed(_account_lines(each, cases.get(each.account)), style_of_action(each.action)) for each in base.reviews]
        if is_one
        else [_base_lines(base, cases, is_counted=source is not None)]
    )
    CliConsole().write_answer(
        lambda: _to_json(base, cases, reviewer.problems, is_one=is_one), chain.from_iterable(lines), as_json=as_json
    )
    if is_one or not as_json:
        told = set() if source is None or source.file is None else set(map(str, source.file.problems))
        warn(*(each for each in reviewer.problems if each not in told), style="red")
    return ExitCode.NO if reviewer.problems else ExitCode.YES


def _write_all(
    policy: str | None,
    accounts: str | None,
    output: str,
    *,
    id: str,
    usage: str | None,
    columns: list[str] | None,
    at: str | None,
    workers: int,
    as_json: bool,
) -> int:
    """Write the reviews of all accounts into a file, and show their number by tier and action."""
    from entitlements.cli.bulk_review.run import review_in_bulk
    from entitlements.cli.console import CliConsole, warn

    loaded, path = open_policy(policy), policy_path(policy)
    given = parse_pairs("--usage-column", columns, "leads=HEADING")
    with usage_errors("--usage-column: "):
        found = review_in_bulk(
            loaded,
            path,
            accounts_path(accounts),
            output,
            id=id,
            now=parse_instant(at),
            is_now_given=at is not None,
            usage=usage,
            usage_columns=given,
            workers=workers,
        )
    tiers = sorted({tier for tier, _ in found.counts}, key=lambda tier: -loaded.tiers[tier].rank)
    by_tier = {
        tier: {action: n for (each, action), n in sorted(found.counts.items()) if each == tier} for tier in tiers
    }
    lines = [
        f"{tier}: " + ", ".join(f"{n:,} {action}" for action, n in counts.items()) for tier, counts in by_tier.items()
    ]
    lines.append(f"written: {output}" + (f" ({found.resumed} chunks were finished before)" if found.resumed else ""))
    CliConsole().write_answer(
        lambda: {"actions": by_tier, "problems": found.problems, "remarks": found.remarks}, lines, as_json=as_json
    )
    if not as_json:
        warn(*found.remarks)
        warn(*first_lines(found.problems, SHOWN, "… and {:,} more problems: --json tells all"), style="red")
    return ExitCode.NO if found.problems else ExitCode.YES


def _items(account: Account, column: str) -> list[str]:
    """Return the items in the account's column of that name."""
    names = _named(tuple(account.attributes), column)
    return [item for name in names for each in str(account.attributes[name]).split(";") if (item := each.strip())]


@lru_cache(maxsize=256)
def _named(attributes: tuple[str, ...], column: str) -> tuple[str, ...]:
    """Return the attributes of that name; all accounts of a file have the same ones."""
    return tuple(name for name in attributes if attribute_name(name) == column)


def _requests(account: Account) -> list[FeatureRequest]:
    """Return the features in the account's column of requests."""
    from entitlements.tiering.triggers import FeatureRequest

    requests = []
    for item in _items(account, REQUESTS):
        name, equals, times = item.partition("=")
        number = as_whole(times.strip()) if equals else 1
        if number is None:
            raise AccountError(f"account {account.id!r}: {REQUESTS}: {item!r} has no number of times; write {name}=3")
        requests.append(FeatureRequest(name.strip(), number))
    return requests


def _to_json(
    base: BaseReview, cases: Mapping[str, TransitionCase], problems: list[str], *, is_one: bool
) -> dict[str, object]:
    whole = base.to_dict()
    for each, written in zip(base.reviews, whole["reviews"], strict=True):  # type: ignore[call-overload]
        case = cases.get(each.account)
        written["effective"] = in_json(case and case.effective)
        written["outreach_due"] = in_json(case and case.outreach_due)
    if is_one and base.reviews:
        return whole["reviews"][0]  # type: ignore[index,no-any-return]
    return whole | {"problems": problems}


def _account_lines(review: Review, case: TransitionCase | None) -> Iterator[str]:
    to = f" to {review.to}" if review.to else ""
    notice = f", after a notice of {in_words(review.notice)}" if review.notice else ""
    yield f"{review.account} ({review.tier}): {review.action}{to}{notice}"
    if case is not None and case.effective > case.opened:
        yield f"  {'effective':<9}  {format_time(case.effective)}"
    if case is not None and case.outreach_due is not None:
        yield f"  {'outreach':<9}  by {format_time(case.outreach_due)}"
    for heading, lines in (
        ("because", [reason.text for reason in review.reasons]),
        ("also", [f"{other.text} ({other.speaks_for})" for other in review.others]),
        ("not known", review.unknown),
        ("steps", review.process),
    ):
        for at, line in enumerate(lines):
            yield f"  {heading if at == 0 else '':<9}  {line}"


def _base_lines(base: BaseReview, cases: Mapping[str, TransitionCase], *, is_counted: bool) -> Iterator[str | Text]:
    from entitlements.cli.styles import HEADING, style_of_action, styled

    headings = ("account", "tier", "action", "to", "effective", "outreach by", "because")
    rows = align_columns([headings, *(_row(each, cases.get(each.account)) for each in base.reviews)])
    styles = iter([HEADING, *(style_of_action(each.action) for each in base.reviews)])
    yield from styled(rows, lambda _: next(styles))
    yield ""
    for tier, actions in base.actions.items():
        yield f"{tier}: " + ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    yield from _compared_lines(base)
    if not is_counted:
        yield NO_USAGE


def _compared_lines(base: BaseReview) -> Iterator[str]:
    """Yield the medians of each criterion by tier, and the shares of each flag."""
    names = dict.fromkeys(name for compared in base.compared.values() for name in compared)
    if names:
        yield ""
        rows = [("median of", *base.compared)]
        rows += [(name, *(_middle(compared.get(name)) for compared in base.compared.values())) for name in names]
        yield from align_columns(rows, right=True)


def _middle(found: object) -> str:
    share = getattr(found, "percent", None)
    return f"{share} % yes" if share is not None else in_words(getattr(found, "middle", "?"))


def _row(review: Review, case: TransitionCase | None) -> tuple[str, ...]:
    gap = review.assignment.gap
    reasons = [reason.text for reason in review.reasons] + ([gap.text] if gap else [])
    effective = f"{case.effective:%Y-%m-%d}" if case and case.effective > case.opened else ""
    outreach = format_time(case.outreach_due) if case and case.outreach_due else ""
    return review.account, review.tier, review.action, review.to or "", effective, outreach, "; ".join(reasons)
