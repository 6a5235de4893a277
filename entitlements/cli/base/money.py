"""`entitlements base money`: profit and budget of each tier, and the price of one service more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.cli.base.loading import ColumnOption, load_base
from entitlements.cli.exit_codes import ExitCode, usage_errors
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.model.display import in_words
from entitlements.presentation.formatting import align_columns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from entitlements.tiering.base.profit import BaseProfit


def money(
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    column: ColumnOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show what each tier pays, costs and earns in a year, and what is left of its budget.

    The budget is the tier's value `segment.service-budget`. Shows too the price of one
    delivery of each service, and the tiers that can pay for one more. Exits with 1 if a
    budget is exceeded.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.profit import profit

    loaded = load_base(policy, accounts, id=id, at=at, columns=column)
    with usage_errors():
        found = profit(loaded.policy, loaded.accounts, now=loaded.now)
    if all(each.budget is None for each in found.tiers):
        loaded.remarks.append("no tier has a budget; write segment.service-budget in the policy")
    CliConsole().write_answer(lambda: found.to_dict() | loaded.told(), _lines(found), as_json=as_json)
    code = loaded.report()
    return ExitCode.NO if any(each.left is not None and each.left < 0 for each in found.tiers) else code


def _lines(found: BaseProfit) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("tier", "accounts", "pay", "cost", "profit", "margin", "worth", "budget", "left")]
    for each in found.tiers:
        margin = "" if each.margin is None else f"{each.margin} %"
        figures = tuple(map(_figure, (each.pays, each.cost, each.profit)))
        rest = tuple(map(_figure, (each.value, each.budget, each.left)))
        rows.append((each.tier or "all", in_words(each.accounts), *figures, margin, *rest))
    yield from align_columns(rows, right=True)
    yield ""
    services: list[tuple[str, ...]] = [("one more", "cost", "price", "tiers that pay for it")]
    services += [
        (each.name, _figure(each.cost), _figure(each.price), ", ".join(each.qualified)) for each in found.services
    ]
    yield from align_columns(services)


def _figure(value: Decimal | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if value == value.to_integral_value() else f"{value:,.2f}"
