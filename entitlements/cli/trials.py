"""`entitlements trials`: the trials of the accounts, and when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.cli.base.loading import load_base
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.errors import AccountError
from entitlements.model.display import in_json
from entitlements.presentation.formatting import align_columns, format_time

if TYPE_CHECKING:
    from entitlements.tiering.trials import TrialState


def trials(
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    List the trials of the accounts: the plan, the days that are left, and the tier that follows.

    Exits with 1 if a trial cannot be read.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.trials import trial_state

    loaded = load_base(policy, accounts, id=id, at=at)
    found: list[tuple[str, TrialState]] = []
    for account in loaded.accounts:
        try:
            state = trial_state(loaded.policy, account, loaded.now)
        except AccountError as error:
            loaded.problems.append(str(error))
            continue
        if state is not None:
            found.append((account.id, state))
    found.sort(key=lambda each: (each[1].phase, each[1].ends, each[0]))
    rows = [("account", "plan", "phase", "ends", "days left", "then")]
    rows += [
        (account, each.tier, each.phase, format_time(each.ends), str(each.days_left), each.then)
        for account, each in found
    ]
    lines = list(align_columns(rows)) if found else ["no account is on a trial"]
    CliConsole().write_answer(
        lambda: {"trials": [{"account": account} | _to_json(each) for account, each in found]} | loaded.told(),
        lines,
        as_json=as_json,
    )
    return loaded.report()


def _to_json(state: TrialState) -> dict[str, object]:
    names = ("tier", "phase", "starts", "ends", "days_left", "then")
    return {name: in_json(getattr(state, name)) for name in names}
