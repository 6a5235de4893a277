"""
Tour of the library: what accounts may do, how much is left, and how fast they may go.

It uses the tiers of `policies/customer-tiers`, the accounts of `examples/accounts.csv`
and counters in memory. A fake clock makes every run the same; without `clock=` the
enforcer uses the system's clock.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table

from entitlements import CsvAccounts, Enforcer, Policy
from entitlements.testing import FakeClock

ROOT = Path(__file__).resolve().parents[1]

console = Console(highlight=False, soft_wrap=True)
say = console.print


def step(title: str, sentence: str) -> None:
    say(f"\n[bold cyan]{title}[/]\n[dim]{sentence}[/]")


def import_leads() -> None:
    say(f"meanwhile {enforcer.usage('maplegate')['leads'].reserved} leads are reserved")
    raise ConnectionError("the connection broke off")


policy = Policy.load(ROOT / "policies" / "customer-tiers")
directory = CsvAccounts(ROOT / "examples" / "accounts.csv", policy=policy)
accounts = {account.id: account for account in directory}  # a dict, because the tour changes some of them
clock = FakeClock(datetime(2026, 11, 16, 9, tzinfo=UTC))
enforcer = Enforcer(policy, accounts=accounts, store="memory://", clock=clock)

say(f"[bold]{len(accounts)} accounts in {len(policy.tiers)} plans, on {clock.now:%A, %d %B %Y}[/]")


step("Who can what", "One question, `can`, for features, for levels of a feature and for limits. No I/O.")
features = ["api-access", "analytics:standard", "sso"]
table = Table("account", "plan", *features, "leads", box=None, header_style="bold")
for id in ["harborwick", "tamarack-ridge", "palisade-elm", "dunmore-hall", "bluefinch", "rushlight", "sparrowgate"]:
    snapshot = enforcer.entitlements(id)
    answers = ["yes" if enforcer.can(id, feature) else "-" for feature in features]
    table.add_row(id, snapshot.tier, *answers, f"{snapshot.limit('leads')}")
say(table)


step("How much: a quota", "A free account may take in 100 leads a month. A charge is all or nothing.")
sparrowgate = enforcer.account("sparrowgate")  # the same verbs, bound to one account
sparrowgate.consume("leads", 98, key="import-1")
sparrowgate.consume("leads", 98, key="import-1")  # the same key again: counted once
refused = sparrowgate.consume("leads", 3)
say(f"3 leads more: {refused.reason}, {refused.used} of {refused.limit} used, {refused.remaining} left")
say(f"it waits until {refused.resets_at:%d %B}, or upgrades: {refused.remedy.tier} would have let it through")


step("How fast: a rate", "Small businesses have a limit of API calls for any hour, whenever it begins.")
calls = [enforcer.consume("bluefinch", "api") for _ in range(101)]
say(f"{sum(call.allowed for call in calls)} of 101 calls went through, the last one: {calls[-1].reason}")
say(f"call again in {calls[-1].retry_after}: the hour is kept in sixtieths, so a unit comes back up to a minute late")
began = clock.now
clock.advance(calls[-1].retry_after)
say(
    f"it was {began:%H:%M}; now it is {clock.now:%H:%M}, and the call is allowed: {enforcer.consume('bluefinch', 'api').allowed}"
)


step(
    "Not included is not too fast",
    "A free account has no API at all: waiting would not help, so there is no retry_after.",
)
refused = enforcer.consume("willowmere", "api")
say(f"{refused.reason}, retry after: {refused.retry_after}, tier that has it: {refused.remedy.tier}")


step("A reservation", "Work that may fail reserves its units first; an exception gives them back.")
try:
    with enforcer.reserve("maplegate", "leads", 500):
        import_leads()
except ConnectionError as error:
    say(f"{error}: {enforcer.usage('maplegate')['leads'].used} leads used")


step("An upgrade", "It takes effect at the first call that sees the new tier; usage is kept.")
accounts["sparrowgate"] = replace(accounts["sparrowgate"], tier="small-business")
enforcer.refresh("sparrowgate")
decision = sparrowgate.consume("leads", 3)
say(f"3 leads more: {decision.reason}, {decision.used} of {decision.limit} used on {decision.tier}")


step("A trial ends", "By the clock, at the next question; there is no job to run.")
trial = enforcer.entitlements("dunmore-hall")
say(f"until {trial.valid_until:%d %B}: {trial.tier}, analytics {enforcer.value('dunmore-hall', 'analytics')}")
clock.set(trial.valid_until)
trial = enforcer.entitlements("dunmore-hall")
say(f"from then on: {trial.tier}, analytics {trial.value('analytics')}")


step("An add-on", "It changes what `can`, the limits and configuration values answer.")
say(f"telephone support: {enforcer.value('maplegate', 'support.phone')}")
accounts["maplegate"] = replace(accounts["maplegate"], add_ons={"phone-support": 1})
enforcer.refresh("maplegate")
say(f"telephone support, once bought: {enforcer.value('maplegate', 'support.phone')}")


step("Why?", "Each decision has every source that was considered, also those that lost or have expired.")
decision = enforcer.decide("pinehollow", "leads")
say(f"pinehollow has {decision.limit} leads a month, because of {decision.source}:")
for considered in decision.trace:
    say(f"  {considered}")


step("What is used", "Counted by charges, or set from a database of your own.")
enforcer.consume("pinehollow", "leads", 6_800)
enforcer.set_usage("pinehollow", "storage", 7_500_000_000)
for agent in ["user-1", "user-2", "user-3", "user-4"]:
    enforcer.assign("pinehollow", "agents", agent)  # named holders: the same one twice takes one seat
bars = Table(box=None, show_header=False)
for name, usage in enforcer.usage("pinehollow").items():
    if usage.used:
        bars.add_row(name, ProgressBar(usage.limit, usage.used, width=30), f"{usage.used:,} of {usage.limit:,}")
say(bars)

say(
    "\nNext: set [bold]api: 30 per hour[/] for small-business in policies/customer-tiers/tiers.yaml, and run this again;"
)
say("[bold]git checkout policies[/] undoes it.")
