"""The base under review: three hundred invented accounts, their policy, and six months of usage."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

from entitlements import CsvAccounts, Enforcer, Policy
from entitlements.testing import FakeClock

HERE = Path(__file__).resolve().parent
POLICIES = HERE.parent.parent / "policies"
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
GB = 10**9


def load_policy() -> Policy:
    """Return the customer tiers, which carry the services too."""
    return Policy.load(POLICIES / "customer-tiers")


def load_accounts(policy: Policy) -> CsvAccounts:
    """Return the accounts: the export of the CRM is a directory of accounts."""
    return CsvAccounts(HERE / "accounts.csv", id="Account ID", policy=policy)


def replayed(policy: Policy, accounts: CsvAccounts) -> Enforcer:
    """Return an enforcer whose counters hold the six months of `usage.csv`."""
    clock = FakeClock(NOW)
    enforcer = Enforcer(policy, accounts=accounts, clock=clock)
    with (HERE / "usage.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["month"])
    for row in rows:
        clock.set(datetime.fromisoformat(f"{row['month']}-01").replace(tzinfo=UTC) + timedelta(days=20))
        account = enforcer.account(row["account"])
        account.set_usage("leads", int(row["leads"]))
        if int(row["leads_denied"]):
            account.consume("leads", int(row["leads_denied"]))  # refused, and counted as denied
        account.set_usage("agents", int(row["agents"]))
        account.set_usage("storage", int(float(row["storage_gb"]) * GB))
    clock.set(NOW)
    return enforcer
