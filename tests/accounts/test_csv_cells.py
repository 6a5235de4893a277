"""Parsers of the cells of a CSV file of accounts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.accounts.csv.cells import (
    read_add_ons,
    read_anchor,
    read_changes,
    read_grants,
    read_moment,
    read_overrides,
    read_status,
    read_value,
)
from entitlements.accounts.csv.columns import COLUMNS
from entitlements.errors import AccountError
from entitlements.model.account import AccountStatus, Change, Grant, Override
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED
from entitlements.policy.errors import InvalidValue

END = datetime(2026, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-31", END),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2026-12-31 09:30", datetime(2026, 12, 31, 9, 30, tzinfo=UTC)),
        ("2026-12-31T09:30:15.5", datetime(2026, 12, 31, 9, 30, 15, 500_000, tzinfo=UTC)),
        ("2026-12-31T09:30Z", datetime(2026, 12, 31, 9, 30, tzinfo=UTC)),
        ("2026-12-31 01:00 +02:00", datetime(2026, 12, 30, 23, tzinfo=UTC)),
        ("2026-12-31T01:00-0530", datetime(2026, 12, 31, 6, 30, tzinfo=UTC)),
    ],
)
def test_an_instant_is_iso_8601_and_utc_unless_it_says_otherwise(text, expected):
    """A date is its first instant in UTC; a time without an offset is UTC too."""
    assert (expected, UTC) == (read_moment(text), read_moment(text).tzinfo)


@pytest.mark.parametrize(
    "text", ["2026-02-31", "2025-02-29", "2026-13-01", "2026-01-01T24:30", "0001-01-01T00:00+14:00"]
)
def test_an_instant_that_does_not_exist_is_said_not_to(text):
    """The 31st of February, and an instant before the first year."""
    with pytest.raises(InvalidValue, match=r"does not exist.*write a date such as 2026-03-01"):
        read_moment(text)


@pytest.mark.parametrize(
    "text", ["31.12.2026", "12/31/2026", "20261231", "2026-W01-1", "2026-12-31x10:00", "tomorrow", "٢٠٢٦-01-01"]
)
def test_any_other_way_to_write_a_date_is_refused(text):
    """The order of day and month is never guessed."""
    with pytest.raises(InvalidValue, match="is not a date"):
        read_moment(text)


def test_an_anchor_is_a_day_of_the_month_or_an_instant():
    instant = datetime(2026, 1, 31, 11, 30, 15, tzinfo=UTC)
    assert [1, 31, instant] == [read_anchor("1"), read_anchor("31"), read_anchor("2026-01-31T12:30:15+01:00")]


@pytest.mark.parametrize("text", ["0", "32", "-1", "1.5", "first", "٣"])
def test_any_other_anchor_is_refused(text):
    """A number that is no day of a month, or no number."""
    with pytest.raises(InvalidValue, match="write 1 to 31"):
        read_anchor(text)


def test_a_status_is_read_in_any_case():
    """`Suspended` is suspended; nothing else is guessed."""
    assert [AccountStatus.SUSPENDED, AccountStatus.ACTIVE] == [read_status("Suspended"), read_status("ACTIVE")]
    with pytest.raises(InvalidValue, match="write active or suspended"):
        read_status("paused")


def test_add_ons_are_names_with_quantities():
    """One without a quantity is bought once; semicolons and line breaks separate."""
    assert {"phone-support": 1, "reports": 3, "sso": 1} == read_add_ons("phone-support; reports = 3\nsso;")


@pytest.mark.parametrize("text", ["a=0", "a=-1", "a=1.5", "a=x", "a=", "a;a=2", "a (until 2026-12-31)", "(x)"])
def test_add_ons_that_do_not_read_are_refused(text):
    """No quantity of none, no add-on twice, no notes."""
    with pytest.raises(InvalidValue):
        read_add_ons(text)


def test_an_override_carries_value_reason_author_and_span():
    """In any order and any case; a reason may hold commas and parentheses."""
    (override,) = read_overrides(
        "leads=8000 (renewal, as promised (call), By Ann Lee, until 2026-12-31, FROM 2026-01-01)", "x"
    )

    assert (
        Override(
            "leads",
            8000,
            reason="renewal, as promised (call)",
            author="Ann Lee",
            starts=datetime(2026, 1, 1, tzinfo=UTC),
            expires=END,
        )
        == override
    )


def test_an_override_that_gives_no_reason_says_where_it_is_from():
    """The reason is the row, the author the file's kind."""
    origin = "from a.csv, line 2"

    assert (
        Override("sso", True, reason=origin, author="csv"),
        Override("leads", UNLIMITED, reason=origin, author="csv", expires=END),
        Override("chat", False, reason="pilot; over", author="csv"),
    ) == read_overrides("sso=true; leads=unlimited (until 2026-12-31)\r\nchat=false (pilot; over)", origin)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("FALSE", False),
        ("50", 50),
        ("99.95", Decimal("99.95")),
        ("14 days", timedelta(days=14)),
        ("unlimited", UNLIMITED),
        ("not-included", NOT_INCLUDED),
        ("standard", "standard"),
        ("20000 per hour", "20000 per hour"),
        ("100 GB", "100 GB"),
        ("1:50", "1:50"),
        ('"50"', "50"),
        ('"true"', "true"),
        ('"a; b (c) ""d"" = e"', 'a; b (c) "d" = e'),
        ('""', ""),
    ],
)
def test_a_value_is_typed_by_how_it_is_written(text, expected):
    """As in a policy: quotes make a text of it, and let it hold anything."""
    (override,) = read_overrides(f"name = {text} (why)", "x")

    assert (expected, type(expected)) == (override.value, type(override.value)) == (read_value(text), type(expected))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("leads", "has no value; write leads=value"),
        ("leads+5", "has no value; write leads=value"),
        ("leads: 5", "has no value; write leads=value"),
        ("=5", "is not a name"),
        ("leads=", "cannot be written here"),
        ("leads=8,000", "groups its digits; write 8000"),
        ("leads=8_000 per hour", "groups its digits; write 8000"),
        ("leads=null", "says nothing; write not-included"),
        ("a=[1, 2]", "cannot be written here"),
        ("a={b: 1}", "cannot be written here"),
        ("a=.inf", "not a number"),
        ("a=1 (x", "is not closed"),
        ("a=1 x)", "is not opened"),
        ("a=1 (x) y", "separate items by ;"),
        ("a=1 (x) (y)", "separate items by ;"),
        ('a="x', "a quote in .* is not closed"),
        ('a="x" y', "goes on behind its quote"),
        ("a=1 (by x, by y)", "stands twice"),
        ("a=1 (until 2026-02-31)", "does not exist"),
        ("a=1 (until further notice)", "is not a date"),
        ("my leads=5", "is not a name"),
        ("a=1 (from 2026-12-31, until 2026-01-01)", "is not before"),
    ],
)
def test_an_override_that_does_not_read_says_why(text, problem):
    """Nothing is guessed."""
    with pytest.raises((InvalidValue, AccountError), match=problem):
        read_overrides(text, "x")


def test_a_grant_is_a_limit_and_units():
    """Sizes are bytes; reasons and spans stand behind it as behind an override."""
    assert (
        Grant("leads", 500, expires=END, reason="goodwill, by Ann"),
        Grant("agents", 2),
        Grant("storage", 10_000_000_000),
    ) == read_grants("leads+500 (goodwill, until 2026-12-31, by Ann); agents + 2; storage+10 GB")


@pytest.mark.parametrize(
    "text", ["leads", "leads+0", "leads+-5", "leads+1.5", "leads=5", "+5", "leads+1,000", "leads+5 XB"]
)
def test_a_grant_that_does_not_read_is_refused(text):
    """A grant adds whole units to something."""
    with pytest.raises((InvalidValue, AccountError)):
        read_grants(text)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("frames=5", "frames+5"),
        ("frames: 5", "frames+5"),
        ("storage = 5 GB", "storage+5 GB"),
        ("frames", "frames+500"),
        ("frames=many", "frames+500"),
    ],
)
def test_the_cure_of_a_grant_is_a_grant_of_the_same_limit(text, cure):
    """Units that can be read stay; what the cure says to write can be read."""
    with pytest.raises(InvalidValue) as error:
        read_grants(text)

    assert f"write {cure}" == error.value.cure
    assert 1 == len(read_grants(cure))


def test_a_change_is_a_tier_and_an_instant():
    """Several stand one behind the other; a tier's name may hold anything."""
    assert (Change("pro", at=END), Change("tier at rest", at=END + timedelta(days=1))) == read_changes(
        "pro at 2026-12-31; tier at rest at 2027-01-01"
    )


@pytest.mark.parametrize(
    "text", ["pro", "pro at", " at 2026-12-31", "pro at soon", "pro at 2026-12-31 (why)", "pro=2026-12-31"]
)
def test_a_change_that_does_not_read_is_refused(text):
    """It needs its instant, and takes no notes."""
    with pytest.raises(InvalidValue):
        read_changes(text)


@given(st.sampled_from(sorted(COLUMNS)), st.text() | st.text('ab=+;()",. \n1unti l2026-x', max_size=40))
def test_no_cell_raises_anything_but_what_is_wrong_with_it(column, text):
    """Whatever stands in a cell, reading it gives a value, or says why not and what to write."""
    try:
        COLUMNS[column](text, "somewhere")
    except* (InvalidValue, AccountError):
        pass


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_value_is_any_text(text):
    """Doubled quotes inside stand for quotes, as in the CSV around it."""
    quoted = '"' + text.replace('"', '""') + '"'
    first, second = read_overrides(f"a={quoted} (x); b={quoted}", "here")

    assert (text, text, "x", "here") == (first.value, second.value, first.reason, second.reason)
