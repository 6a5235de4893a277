"""`entitlements due`: the list of a week, overdue items, the calendar file, and files that cannot be right."""

import csv
import json
from datetime import date, timedelta

import pytest
from icalendar import Calendar

AT = "2026-11-04T12:00Z"
EXAMPLES = "examples/accounts.csv"


@pytest.fixture
def base(tmp_path):
    """Write a file of two accounts: one started on a Monday, one on the last day of January."""
    (tmp_path / "base.csv").write_text(
        "Account,Tier,Customer Since,Renewal Date\nacme,mid-market,2026-01-05,1/5/2027\nglobex,tier-1,1/31/2026,1/31/2027\n",
        encoding="utf-8",
    )
    return ["--accounts", "base.csv", "--id", "Account", "--at", AT]


def listed(run_command, *options):
    code, out, err = run_command("due", *options, "--json")
    found = json.loads(out)
    return code, [(each["date"][5:], each["account"], each["name"]) for each in found["items"]], found, err


def test_the_week_of_the_example_base(run_command):
    """
    2 to 8 November 2026. fernstone, a tier-1 account since 2026-07-03 (a Friday), has its weekly check-in on Friday
    the 6th; its fourth month ends on the 3rd, with the monthly business review. kestrel-bay has its quarter on the
    4th: nine months after 2026-02-04.
    """
    code, items, found, err = listed(run_command, "--at", AT)

    assert (0, "") == (code, err)
    assert (54, 190) == (len(items), found["automated"])
    assert [("11-03", "Business review"), ("11-03", "opportunity"), ("11-06", "Tactical check-in"), ("11-06", "adoption"),
            ("11-06", "risk"), ("11-06", "usage-analytics")] == sorted(
        (day, name) for day, account, name in items if account == "fernstone"
    )  # fmt: skip
    assert [("11-04", "copsewood", "Trial of trial ends")] == [item for item in items if "Trial" in item[2]]
    assert {"Strategic review", "Review of the tier"} <= {
        name for _, account, name in items if account == "kestrel-bay"
    }


def test_a_month_a_role_and_one_account(run_command, base):
    """
    November of the tier-1 account that began on a Saturday, 31 January. Its ninth month ends on Saturday 31 October, so
    business, strategic and tier review are due on Monday the 2nd. The tenth ends on the 30th, the last of November.
    """
    _, items, _, _ = listed(run_command, *base, "--month", "--account", "globex")
    _, executives, _, _ = listed(run_command, *base, "--since", "2026-07-01", "--until", "2026-08-01",
                                 "--role", "executive sponsor")  # fmt: skip

    assert [("11-02", "Business review"), ("11-02", "Review of the tier"), ("11-02", "Strategic review"),
            ("11-30", "Business review")] == sorted((day, name) for day, _, name in items if "eview" in name)  # fmt: skip
    assert ["11-02", "11-09", "11-16", "11-23", "11-30"] == [
        day for day, _, name in items if name == "Tactical check-in"
    ]
    assert [("07-31", "globex", "Executive summit")] == executives


def test_what_is_not_done_is_overdue_and_the_file_makes_the_round_trip(run_command, base, tmp_path):
    """The list of October is written as CSV; two rows are filled in; the others are overdue in November."""
    october = ["--since", "2026-10-01", "--until", "2026-11-01"]
    listed(run_command, *base, *october, "--account", "acme", "--csv", "october.csv")
    rows = list(csv.DictReader((tmp_path / "october.csv").read_text(encoding="utf-8").splitlines()))
    for row in rows[:2]:
        row["done"] = "2026-10-30"
    with (tmp_path / "done.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    code, _, found, _ = listed(run_command, *base, "--account", "acme", "--done", "done.csv",
                               "--overdue-since", "2026-10-01")  # fmt: skip

    assert (0, len(rows) - 2) == (code, len(found["overdue"]))
    assert [row["item"] for row in rows[2:]] == [each["name"] for each in found["overdue"]]
    out = run_command("due", *base, "--account", "acme", "--done", "done.csv")[1]
    assert "overdue" in out


def test_the_calendar_file_holds_the_list(run_command, base, tmp_path):
    """RFC 5545, read by the library: days, one UID per item, and the window of the onboarding."""
    _, items, found, _ = listed(
        run_command, *base, "--since", "2026-02-01", "--until", "2026-03-01", "--ics", "due.ics"
    )
    calendar = Calendar.from_ical((tmp_path / "due.ics").read_bytes())
    events = list(calendar.walk("VEVENT"))

    assert "2.0" == calendar["version"]
    assert len(items) == len(events) == len({str(each["uid"]) for each in events})
    assert {(each["date"], f"{each['account']}: {each['name']}") for each in found["items"]} == {
        (str(each.decoded("dtend") - timedelta(days=1)), str(each["summary"])) for each in events
    }
    window = next(each for each in events if str(each["summary"]) == "acme: Onboarding complete")
    assert (date(2026, 2, 4), date(2026, 2, 15)) == (window.decoded("dtstart"), window.decoded("dtend"))
    again = tmp_path / "again.ics"
    run_command("due", *base, "--since", "2026-02-01", "--until", "2026-03-01", "--ics", str(again))
    assert (tmp_path / "due.ics").read_bytes() == again.read_bytes()


def test_files_that_cannot_be_right_are_told_by_row_and_field_and_nothing_is_dropped(run_command, tmp_path):
    (tmp_path / "base.csv").write_text(
        "id,tier,start,renewal\na,mid-market,2026-02-30,2027-01-05\nb,mid-market,2026-01-05,someday\n"
        "c,enterprise,2026-01-05,2027-01-05\nd,gold,2026-01-05,\n",
        encoding="utf-8",
    )
    (tmp_path / "history.csv").write_text(
        "account,tier,since,until\nb,freemium,2025-01-01,2026-02-01\nb,mid-market,2026-01-05,\nb,silver,2024-01-01,2025-01-01\n"
        "c,mid-market,2026-03-01,2026-02-01\nx,freemium,2025-01-01,\n",
        encoding="utf-8",
    )
    (tmp_path / "done.csv").write_text(
        "account,item,due,done\nc,Tactical check-in,2026-11-02,yes\nc,Dinner,2026-11-02,2026-11-02\nc,risk,,\n",
        encoding="utf-8",
    )
    code, items, found, err = listed(run_command, "--accounts", "base.csv", "--at", AT, "--history", "history.csv",
                                     "--done", "done.csv")  # fmt: skip
    lines = err.splitlines()

    assert 1 == code
    assert {"a", "b", "c"} == {account for _, account, _ in items}
    for text in (
        "base.csv:2: start: '2026-02-30' does not exist; write a date such as 2027-01-31",
        "base.csv:3: renewal: 'someday' is not a date; write a date such as 2027-01-31",
        "history.csv:4: tier: 'silver' is not in policy 2026-11",
        "history.csv:3: since: account 'b': freemium from 2025-01-01 to 2026-02-01 and mid-market from 2026-01-05 overlap",
        "history.csv:5: until: mid-market until 2026-02-01 ends before it begins on 2026-03-01; exchange the two",
        "history.csv:6: account: 'x' is not in base.csv",
        "done.csv:2: done: 'yes' is not a date; write a date such as 2027-01-31",
        "done.csv:4: due: the due date is missing; write a date such as 2027-01-31",
        "done.csv: 'Dinner' of account 'c' is not due on 2026-11-02; correct the row",
    ):
        assert any(line.startswith(text) for line in lines), text
    assert any("tier 'gold' is not in" in line for line in lines)
    assert 10 == len(found["problems"])


def test_a_missing_column_is_named_with_its_option_and_what_is_shown_without_it(run_command, tmp_path):
    (tmp_path / "base.csv").write_text("id,tier,Kunde seit\nacme,mid-market,5.1.2026\n", encoding="utf-8")
    code, items, _, err = listed(run_command, "--accounts", "base.csv", "--at", AT)
    given = listed(run_command, "--accounts", "base.csv", "--at", AT, "--column", "start=Kunde seit")

    assert (0, []) == (code, items)
    assert "no column holds the start" in err
    assert "name it: --column start=HEADING" in err
    assert "so no renewal and no notice is due" in err
    assert given[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--week", "--month"], "exclude each other"),
        (["--since", "2026-11-05", "--until", "2026-11-05"], "is not after"),
        (["--since", "3/4/2026"], "--since '3/4/2026' may be 2026-03-04 or 2026-04-03"),
        (["--column", "strat=X"], "did you mean 'start'"),
        (["--done", "nothing.csv"], "nothing.csv: No such file"),
        (["--done", "base.csv"], "no column 'item' (item, name); name its heading: --column done.item=HEADING"),
        (["--account", "acne"], "did you mean 'acme'"),
        (["--ics", "no/such/folder.ics"], "name a file that can be written"),
    ],
)
def test_options_that_cannot_be_are_named(run_command, base, options, message):
    code, _, err = run_command("due", *base, *options)

    assert code > 1
    assert message in err
