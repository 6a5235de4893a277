"""An export with its tiers as a directory of accounts: every row that is not served is reported."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import AccountError, CsvAccounts, Policy
from entitlements.crm import WriteOptions, assign_base, choose_columns, read_layout, write
from entitlements.model.problem import Severity

POLICY = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "second-funnel")
HEADINGS = st.lists(
    st.sampled_from(
        ["Notes", "notes", "Status", "status", "Changes", "Add-ons", "Overrides", "Grants", "Anchor", "Trial Tier",
         "trial_ends", "Trial Starts", "Tier", "City", "", "Account Name"]
    ),
    max_size=5,
)  # fmt: skip
CELLS = st.sampled_from(
    ["", "", "x", "Active", "active", "5", "2026-11-01", "tier-1", "tier-2", "arr=5", "Premium Support", "leads+5", '"']
)
NAMES = st.sampled_from(["A", "B", " C", "D\nNorth", "E" * 300, "A"])


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


def assigned(text, **options):
    layout = read_layout("in.csv", text.encode())
    columns = choose_columns(layout, POLICY.assignment, "arr", **options)
    return assign_base(POLICY, layout, columns)


def served(base, path, ignore=()):
    """Return the ids that a directory serves of the written file."""
    path.write_bytes(b"".join(write(POLICY, base, WriteOptions())))
    try:
        return CsvAccounts(path, id="Account Name", policy=POLICY, ignore=ignore).ids()
    except AccountError:
        return ()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("directory") / "out.csv"


@given(headings=HEADINGS, data=st.data())
def test_a_row_is_served_unless_a_problem_is_reported(path, headings, data):
    headings = ["Account Name", "ARR", *headings]
    rows = data.draw(st.lists(st.tuples(NAMES, *[CELLS] * (len(headings) - 2)), min_size=1, max_size=4))
    lines = [[name, "60000", *cells] for name, *cells in rows]
    text = "\n".join(",".join(map(quoted, line)) for line in [headings, *lines]) + "\n"
    try:
        base = assigned(text)
    except AccountError:
        return  # two columns of one meaning, which the error names

    errors = {each.line for each in base.problems if each.severity is Severity.ERROR}
    doubled = {each.line for each in base.problems if "stands in line" in each.problem}
    found = served(base, path)
    whole = 1 in errors
    for line, result in base.results.items():
        reported = whole or line in errors or line in doubled
        assert (result.account in found) or reported, base.problems


@pytest.mark.parametrize(
    ("headings", "cells", "says"),
    [
        ("Status,Status", "active,active", "in.csv:1: the headings 'Status' and 'Status' are the same, so no row"),
        ("Account Name", "B", "in.csv:1: the headings 'Account Name' and 'Account Name' are the same, so no row"),
        ("", "x", "in.csv:2: cell 3, 'x', has no heading, so the row is not served; give the column a heading"),
        ("Trial Tier", "tier-1", "in.csv:2: Trial Tier: the trial has no end, so the row is not served"),
        ("Grants", "leds+5", "in.csv:2: Grants: grant names 'leds', which is no limit"),
        ("Add-ons", "Premium Support", "in.csv:2: Add-ons: account 'A': add-on 'Premium Support' is not a name"),
    ],
)
def test_what_a_directory_refuses_is_an_error_with_the_column(path, headings, cells, says):
    base = assigned(f"Account Name,ARR,{headings}\nA,60000,{cells}\n")

    (problem,) = base.errors
    assert str(problem).startswith(says)
    assert "A" not in served(base, path)


@pytest.mark.parametrize("headings", ["Status,Status", "Trial Tier,Trial Starts", "Add-ons,Changes", "Anchor,Grants"])
def test_a_column_of_the_crms_own_can_be_ignored(path, headings):
    """The option of the command, and that of the directory, have one meaning."""
    ignore = headings.split(",")
    base = assigned(f"Account Name,ARR,{headings}\nA,60000,Customer,Since 2024\n", ignore=ignore)

    assert () == base.problems
    assert ("A",) == served(base, path, ignore)
