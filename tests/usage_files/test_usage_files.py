"""Usage files: what is read from them, what is reported, and that a review of them is that of the counters."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from entitlements import Account, AccountError, CsvAccounts, Enforcer, Policy
from entitlements.model.instants import to_instant
from entitlements.rules.resolve import resolve
from entitlements.testing import FakeClock
from entitlements.tiering.reviews import review
from entitlements.tiering.triggers import Cause
from entitlements.usage_files import measured_usage, measures_at, read_usage
from entitlements.usage_files.parquet import open_duckdb

ROOT = Path(__file__).resolve().parents[2]
POLICY = Policy.load(ROOT / "policies" / "customer-tiers")
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
GB = 10**9


@pytest.fixture
def usage_of(tmp_path):
    """Return a function that reads a usage file from its text."""

    def read(text, **options):
        path = tmp_path / "usage.csv"
        path.write_text(text, encoding="utf-8")
        return read_usage(str(path), POLICY, **options)

    return read


def measured(file, account, now=NOW):
    return measured_usage(resolve(POLICY, account, to_instant(now)), file.months.get(account.id, ()), to_instant(now))


def problems(file):
    return [(each.line, each.path, each.problem) for each in file.problems]


# --- What is read -----------------------------------------------------------------------------------------------


def test_the_months_of_a_quota_become_its_periods_newest_first(usage_of):
    file = usage_of("account,month,leads,leads denied\nacme,2026-09,70,0\nacme,2026-10,100,4\n")
    periods = measured(file, Account("acme", "freemium")).history["leads"]

    assert [(each.start, each.used, each.denied, each.limit) for each in periods] == [
        (datetime(2026, 10, 1, tzinfo=UTC), 100, 4, 100),
        (datetime(2026, 9, 1, tzinfo=UTC), 70, 0, 100),
    ]


def test_a_month_is_the_billing_period_that_begins_in_it_and_a_day_the_one_that_contains_it(usage_of):
    file = usage_of("account,month,leads\nacme,2026-09,70\nacme,2026-09-03,60\n")
    periods = measured(file, Account("acme", "freemium", anchor=15)).history["leads"]

    assert [(each.start.date(), each.end.date()) for each in periods] == [
        (date(2026, 8, 15), date(2026, 9, 15)),
        (date(2026, 9, 15), date(2026, 10, 15)),
    ]


def test_the_newest_month_of_an_allocation_is_what_is_held(usage_of):
    file = usage_of("account,month,storage_gb,agents\nacme,2026-10,0.26,3\nacme,2026-09,0.5,2\nacme,2026-12,9,9\n")
    usage = measured(file, Account("acme", "freemium")).usage

    assert (usage["storage"].used, usage["agents"].used, usage["agents"].remaining) == (260_000_000, 3, 0)


def test_the_usage_of_a_running_period_is_that_of_its_row_and_else_not_known(usage_of):
    file = usage_of("account,month,leads\nacme,2026-11,40\nother,2026-10,40\n")

    assert measured(file, Account("acme", "freemium")).usage["leads"].used == 40
    assert "leads" not in measured(file, Account("other", "freemium")).usage


def test_refusals_of_an_allocation_make_its_months_exceeded(usage_of):
    rows = "".join(f"acme,2026-{month},3,{denied}\n" for month, denied in (("09", 1), ("10", 2)))
    account = Account("acme", "freemium", attributes={"annual-value": 0})
    file = usage_of(f"account,month,agents,agents-denied\n{rows}")
    found = review(POLICY, account, now=to_instant(NOW), measured=measured(file, account))

    assert (found.action, [(each.cause, each.name) for each in found.reasons]) == (
        "upgrade",
        [(Cause.EXCEEDED, "agents")],
    )


def test_headings_are_named_by_options_where_they_are_not_recognised(usage_of):
    given = {"account": "Kunde", "leads": "New prospects", "csat": "CSAT score"}
    file = usage_of("Kunde,period,New prospects,CSAT score\nacme,2026-10,7,4.5\n", given=given, measures=("csat",))

    assert measured(file, Account("acme", "freemium")).history["leads"][0].used == 7
    assert measures_at(file.months["acme"]) == {"csat": Decimal("4.5")}


def test_measures_of_earlier_months_are_those_at_least_so_many_months_before_the_newest(usage_of):
    text = "account,month,nps\n" + "".join(f"acme,2026-{month:02},{month}\n" for month in (3, 6, 9, 10))
    months = usage_of(text, measures=("nps",)).months["acme"]

    assert [measures_at(months, back).get("nps") for back in (0, 1, 2, 4, 8)] == [10, 9, 6, 6, None]


def test_a_parquet_file_is_read_as_its_csv_file(tmp_path):
    source, copy = ROOT / "examples" / "portfolio" / "usage.csv", tmp_path / "usage.parquet"
    open_duckdb("the test").read_csv(str(source)).write_parquet(str(copy))
    csv_file, parquet_file = (read_usage(str(path), POLICY) for path in (source, copy))

    assert {id: [(each.day, each.figures) for each in months] for id, months in csv_file.months.items()} == {
        id: [(each.day, each.figures) for each in months] for id, months in parquet_file.months.items()
    }


# --- What is reported -------------------------------------------------------------------------------------------


def test_a_file_without_accounts_or_months_is_refused_with_the_option_that_names_them(usage_of):
    with pytest.raises(
        AccountError, match="no column 'month'; the headings are 'account', 'leads'; name it: --usage-column month"
    ):
        usage_of("account,leads\nacme,7\n")


def test_each_limit_without_a_column_is_named_with_its_option(usage_of):
    lacking = usage_of("account,month,leads\nacme,2026-10,7\n", measures=("csat",)).columns.lacking

    assert any(
        "no column of agents, so its usage is not known" in each and "--usage-column agents=" in each
        for each in lacking
    )
    assert any("no column of refusals of leads" in each for each in lacking)
    assert any("no column of csat, so health is computed without it" in each for each in lacking)


def test_an_unknown_name_of_a_column_is_refused_with_the_nearest(usage_of):
    with pytest.raises(ValueError, match="'leeds' is no column of a usage file; did you mean 'leads'"):
        usage_of("account,month,leads\n", given={"leeds": "leads"})


def test_problems_are_told_by_row_and_field_and_the_other_cells_count(usage_of):
    file = usage_of(
        "account,month,leads,agents\n"
        "acme,2026-10,many,2\nacme,2026-13,1,1\nacme,2026-10,5,5\n,2026-09,1,1\nacme,2026-09,-4,1\nacme,2026-08,3\n"
    )

    assert problems(file) == [
        (2, "leads", "'many' is not a number"),
        (3, "month", "'2026-13' does not exist"),
        (4, "month", "'acme' has this month in line 2 already, which counts"),
        (5, "account", "the cell is empty"),
        (6, "leads", "-4 is below 0"),
        (7, "", "the row has 3 cells, the headings are 4; the others count as empty"),
    ]
    found = measured(file, Account("acme", "freemium"))
    assert (found.usage["agents"].used, [each.used for each in found.history["leads"]]) == (2, [3])


def test_accounts_of_the_file_that_are_unknown_are_named(usage_of):
    file = usage_of("account,month,leads\nacme,2026-10,7\nacne,2026-10,7\n")

    assert [(each.line, each.problem) for each in file.strangers({"acme"})] == [(3, "'acne' is no account")]


# --- A file and the counters ------------------------------------------------------------------------------------


def test_a_review_of_the_file_is_the_review_of_the_counters_it_was_written_from(tmp_path):
    portfolio = ROOT / "examples" / "portfolio"
    policy = Policy.load(ROOT / "policies" / "customer-tiers")
    accounts = CsvAccounts(portfolio / "accounts.csv", id="Account ID", policy=policy)
    heading, *rows = (portfolio / "usage.csv").read_text(encoding="utf-8").splitlines()
    others = "custom-dashboards,standard-reports,custom-reports"  # the counters hold none of these
    text = "\n".join([f"{heading},{others}", *(f"{row},0,0,0" for row in rows)])
    (tmp_path / "usage.csv").write_text(text, encoding="utf-8")
    file = read_usage(str(tmp_path / "usage.csv"), policy)
    clock = FakeClock(NOW)
    enforcer = Enforcer(policy, accounts=accounts, clock=clock)
    for id, months in file.months.items():
        handle = enforcer.account(id)
        for month in reversed(months):
            clock.set(datetime(month.day.year, month.day.month, 21, tzinfo=UTC))
            figures = {(part.value, name): int(value) for (part, name), value in month.figures.items()}
            for name in ("leads", "agents", "storage"):
                handle.set_usage(name, figures["used", name])
            if figures["denied", "leads"]:
                handle.consume("leads", figures["denied", "leads"])
    clock.set(NOW)
    counted, read = [], []
    for account in accounts:
        counted.append(enforcer.review(account))
        found = measured_usage(resolve(policy, account, to_instant(NOW)), file.months[account.id], to_instant(NOW))
        read.append(review(policy, account, now=to_instant(NOW), measured=found))

    assert [(each.action, each.to, each.reasons, each.others) for each in counted] == [
        (each.action, each.to, each.reasons, each.others) for each in read
    ]
    assert len(read) == 300
