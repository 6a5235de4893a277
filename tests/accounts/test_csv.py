"""Accounts in a CSV file: what is read, what is refused, and when it is read again."""

import contextlib
import csv
import io
import logging
import os
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trade
from deadlines import within_cpu_seconds
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Enforcer
from entitlements.accounts import CsvAccounts
from entitlements.errors import AccountError
from entitlements.model.account import Account, AccountStatus, Change, Grant, Override, Trial
from entitlements.model.policy import PolicyData
from entitlements.model.problem import Severity
from entitlements.model.tier import Tier, TrialTerms

SECOND = 1_000_000
OLD = 1_700_000_000_000_000_000
"""A time of modification long past, so that a file that looks the same is taken to be the same."""


class Clock:
    now = 0

    def __call__(self):
        return self.now


@pytest.fixture
def file(tmp_path):
    """Write a new version of the file, by renaming as its users should, and return its path."""
    versions = iter(range(1_000))

    def write(content, *, mtime=None):
        path, new = tmp_path / "accounts.csv", tmp_path / "new"
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        stamp = OLD + next(versions) * 1_000_000_000 if mtime is None else mtime
        os.utime(new, ns=(stamp, stamp))
        new.replace(path)
        return path

    return write


@pytest.fixture
def read(file):
    """Write a file and return its accounts."""
    return lambda content, **named: CsvAccounts(file(content), **named)


def tiers(accounts):
    return {account.id: account.tier for account in accounts}


def problems(accounts):
    return [str(problem).partition("accounts.csv:")[2] for problem in accounts.problems]


# -- what is read ----------------------------------------------------------------------


def test_every_column_becomes_what_it_says(read):
    """A row with all columns is the account that one would write in Python."""
    accounts = read(
        "id,tier,trial_tier,trial_starts,trial_ends,anchor,add_ons,overrides,grants,changes,status,Annual Value,city\n"
        'acme,pro,max,2026-01-01,2026-03-01,15,"phone; reports=3","leads=8000 (renewal, by Ann, until 2026-12-31)",'
        'leads+500,max at 2026-04-01,Suspended,"50,000","San José"\n'
    )

    assert Account(
        "acme",
        "pro",
        trial=Trial("max", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        anchor=15,
        add_ons={"phone": 1, "reports": 3},
        overrides=(
            Override("leads", 8000, reason="renewal", author="Ann", expires=datetime(2026, 12, 31, tzinfo=UTC)),
        ),
        grants=(Grant("leads", 500),),
        changes=(Change("max", at=datetime(2026, 4, 1, tzinfo=UTC)),),
        status=AccountStatus.SUSPENDED,
        attributes={"annual_value": "50,000", "city": "San José"},
    ) == accounts.find("acme")
    assert () == accounts.problems


def test_accounts_stand_in_the_order_of_the_file(read):
    """They can be counted, listed and gone through; an id that is not there is None."""
    accounts = read("id,tier\nb,pro\na,free\n")

    assert (2, ("b", "a"), ["pro", "free"]) == (len(accounts), accounts.ids(), [each.tier for each in accounts])
    assert accounts.find("c") is None


def test_headings_are_the_same_in_any_spelling(read):
    """Case, blanks, hyphens and underscores make no difference."""
    accounts = read(" ID ,Tier,TRIAL ENDS,Trial-Tier,add  ons\nacme,pro,2026-03-01,max,phone\n")

    assert ("max", {"phone": 1}) == (accounts.find("acme").trial.tier, dict(accounts.find("acme").add_ons))


def test_the_column_of_ids_has_any_name(read):
    """`id=` names it; another column `id` is an attribute."""
    accounts = read("Customer No,id,tier\n7,acme,pro\n", id="customer_no")

    assert {"id": "acme"} == dict(accounts.find("7").attributes)


def test_an_override_without_a_reason_names_its_row(read):
    """The trace of a decision leads back to the line."""
    (override,) = read('id,tier,overrides\n"a",pro,\nacme,pro,sso=true\n').find("acme").overrides

    assert ("from accounts.csv, line 3", "csv") == (override.reason, override.author)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_separator_is_found_in_the_headings(read, separator, bom, end):
    """Comma, semicolon or tab, whatever else the headings hold in quotes; any line ends; a byte order mark or none."""
    text = end.join((f'"a;b,c\td"{separator}id{separator}tier', f'"x, y; z"{separator}acme{separator}pro'))
    accounts = read(bom + text)

    assert ({"acme": "pro"}, ()) == (tiers(accounts), accounts.problems)


def test_quoted_cells_hold_separators_quotes_and_line_breaks(read):
    """And the lines of what follows are counted right."""
    accounts = read('id,tier,note\n\n"a,1",pro,"said ""yes""\nand\nleft"\n,,\nb,pro\nc,pro,\n')

    assert 'said "yes"\nand\nleft' == accounts.find("a,1").attributes["note"]
    assert ["7: the row has 2 cells, the headings are 3; write the missing separators"] == problems(accounts)


def test_blank_rows_are_skipped(read):
    """Also before the headings, and rows of nothing but separators and blanks."""
    accounts = read("\n , \n\nid,tier\n\nacme,pro\n,\n  , \n\nb,free\n\n")

    assert ({"acme": "pro", "b": "free"}, ()) == (tiers(accounts), accounts.problems)


def test_blank_cells_too_many_do_no_harm(read):
    """Spreadsheets write them; a column without a heading is fine while it is empty."""
    accounts = read("id,,tier,\nacme,,pro,,,\n")

    assert (Account("acme", "pro"), ()) == (accounts.find("acme"), accounts.problems)


def test_ids_are_never_normalised(read):
    """Case, composition and even blanks make different accounts; blanks at an end are worth a warning."""
    accounts = read("id,tier\né,pro\ne\u0301,free\nA,pro\na,free\n a,max\n")

    assert {"é": "pro", "e\u0301": "free", "A": "pro", "a": "free", " a": "max"} == tiers(accounts)
    assert [(6, Severity.WARNING)] == [(each.line, each.severity) for each in accounts.problems]


def test_a_file_of_headings_alone_has_no_accounts(read):
    """That is no error: a product may be new."""
    assert (0, ()) == (len(read("id,tier\n")), read("id,tier").ids())


def test_ten_thousand_rows_are_nothing(read):
    """They are read at once; the test would time out otherwise."""
    rows = "".join(f"acct-{n},pro,phone; reports=3,2027-01-01\n" for n in range(10_000))

    assert 10_000 == len(read("id,tier,add_ons,signed\n" + rows))


# -- rows that are not served ----------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("acme,pro,,,,", "2: the row has 6 cells, the headings are 7; write the missing separators"),
        ("acme,pro,,,,,,x", "2: cell 8, 'x', has no heading; give the column a heading, or quote"),
        (",pro,,,,,", "2: ID: the cell is empty; write the account's id"),
        ("acme, ,,,,,", "2: Tier: the cell is empty; write the account's tier"),
        ("acme,pro,,,2026-02-31,,", "2: Trial Ends: '2026-02-31' does not exist"),
        ("acme,pro,max,,,,", "2: trial_ends: the trial has no end; write when it ends in trial_ends"),
        ("acme,pro,,2026-01-01,,,", "2: trial_ends: the trial has no end"),
        ("acme,pro,max,2026-03-01,2026-01-01,,", "2: trial of 'max': starts"),
        ("acme,pro,,,,32,", "2: anchor: '32' is not a day of the month; write 1 to 31"),
        ("acme,pro,,,,,paused", "2: Status: 'paused' is not a status; write active or suspended"),
        (f"{'a' * 257},pro,,,,,", "2: account id 'aaaaaaaaaaaaaaaaaaaa'… (257 characters) must have"),
        ("a\x07b,pro,,,,,", "2: account id"),
    ],
)
def test_a_bad_row_is_a_problem_with_its_line_and_is_not_served(read, row, problem):
    """The others are served."""
    accounts = read(f"ID,Tier,trial_tier,trial_starts,Trial Ends,anchor,Status\n{row}\nb,pro,,,,,\n")

    assert ("b",) == accounts.ids()
    assert [True] == [each.startswith(problem) for each in problems(accounts)]


def test_a_cell_below_no_heading_is_a_problem(read):
    """Its meaning is unknown; a separator may be missing, or there is one too many."""
    accounts = read("id,,tier\nacme,x,pro\n")

    assert ["2: cell 2, 'x', has no heading; give the column a heading, or quote the cell that holds a separator"] == (
        problems(accounts)
    )


def test_everything_that_is_wrong_with_a_row_is_said_at_once(read):
    """Each with its column."""
    accounts = read("id,tier,anchor,status\nacme,,32,x\n")

    assert {"tier", "anchor", "status"} == {problem.path for problem in accounts.problems}
    assert [2, 2, 2] == [problem.line for problem in accounts.problems]


def test_everything_that_is_wrong_under_the_policy_is_said_at_once_too(read):
    """Each item of a cell, and what the policy does not know of a row that cannot be read."""
    accounts = read(
        "id,tier,anchor,add_ons,overrides,grants,changes\n"
        "acme,gold,32,radio; tv,x; leads=[; y=1; z=2,m+1; n+2; o+x,max at noon\n"
        "b,pro,,radio; tv,y=1; z=2,m+1,lost at 2026-01-01\n",
        policy=POLICY,
    )

    paths = ["anchor", "overrides", "overrides", "grants", "changes", "tier", "add_ons", "add_ons"]
    assert paths == [each.path for each in accounts.problems if each.line == 2]
    paths = ["add_ons", "add_ons", "overrides", "overrides", "grants", "changes"]
    assert paths == [each.path for each in accounts.problems if each.line == 3]
    assert all(each.problem and each.cure for each in accounts.problems)


def test_the_first_of_two_rows_with_one_id_is_served(read):
    """All others are problems that name the line of the first, even where the first is bad."""
    accounts = read("id,tier,anchor\na,pro,\na,max,\nb,pro,99\nb,pro,\na,pro,\n")

    assert {"a": "pro"} == tiers(accounts)
    assert [
        "3: id: 'a' stands in line 2 already; keep one row for each account",
        "4: anchor: '99' is not a day of the month; write 1 to 31, an instant such as 2026-01-31T12:30:00Z, or leave the cell empty",
        "5: id: 'b' stands in line 4 already; keep one row for each account",
        "6: id: 'a' stands in line 2 already; keep one row for each account",
    ] == problems(accounts)


def test_a_row_of_several_lines_is_named_by_its_first(read):
    """The line number is that of the row's first line."""
    accounts = read('id,note,tier\nx,"1\n2\n3",pro\ny,"1\n2",\n')

    assert [5] == [problem.line for problem in accounts.problems]


def test_rows_that_are_not_served_are_logged(read, caplog):
    """Once for a version of the file: how many problems there are, and the first of them."""
    read("id,tier\na,\nb,\n").find("a")

    assert [1] == [record.getMessage().count("2 problems keep rows from being served") for record in caplog.records]
    assert "accounts.csv:2: tier: write the account's tier; entitlements validate POLICY --accounts" in caplog.text


def test_an_id_that_stands_twice_is_logged_once_with_what_to_do_and_without_the_id(tmp_path, caplog):
    """An enforcer on the file logs one line, with the right line number."""
    path = tmp_path / "accounts.csv"
    path.write_text("id,tier\nacme-77,free\nacme-77,pro\n", encoding="utf-8")

    Enforcer(POLICY, accounts=str(path))

    (record,) = caplog.records
    assert (
        f"{path}: 1 problem keeps rows from being served, the first at {path}:3: id: keep one row for each account;"
        f" entitlements validate POLICY --accounts {path} says more"
    ) == record.getMessage()


def test_ids_with_blanks_around_them_are_logged_once_without_the_id(read, caplog):
    """An account that is not found by the id that people see is a silent refusal."""
    accounts = read("id,tier\nacme-77 ,pro\nb,pro\n c,pro\n")
    accounts.find("acme-77")

    (record,) = caplog.records
    assert record.getMessage().endswith(
        "accounts.csv:2: 2 ids begin or end with blanks, and need them to be found;"
        " take them out if they are not part of the id"
    )
    assert None is accounts.find("acme-77")


def test_cures_that_hold_a_cell_are_not_logged(read, caplog):
    """Cells are printed by the command and never logged."""
    read("id,tier,overrides\na,pro,secret-name\n")

    assert "accounts.csv:2: overrides; entitlements validate" in caplog.text
    assert "secret" not in caplog.text


# -- trials, which a policy explains ---------------------------------------------------

POLICY = PolicyData(
    "1",
    {
        "free": Tier("free", 1, "Free"),
        "trial": Tier("trial", 1, "Trial", aliases=("test-drive",), trial=TrialTerms(14, 7, 30, "free")),
        "pro": Tier("pro", 2, "Pro", aliases=("tier-2",)),
    },
)
END = datetime(2026, 3, 1, tzinfo=UTC)


def tried(read, row):
    return read(f"id,tier,trial_tier,trial_starts,trial_ends\n{row}\n", policy=POLICY)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("acme,trial,,,2026-03-01", Account("acme", "free", trial=Trial("trial", None, END))),
        ("acme,test-drive,trial,,2026-03-01", Account("acme", "free", trial=Trial("trial", None, END))),
        ("acme,free,trial,,2026-03-01", Account("acme", "free", trial=Trial("trial", None, END))),
        ("acme,free,pro,,2026-03-01", Account("acme", "free", trial=Trial("pro", None, END))),
    ],
)
def test_a_trial_plan_as_tier_stands_for_what_remains_and_the_trial(read, row, expected):
    """`tier=trial` with `trial_ends` is short for the tier after it, plus the trial; the rest stays as written."""
    accounts = tried(read, row)

    assert (expected, ()) == (accounts.find("acme"), accounts.problems)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("acme,trial,,,", "2: trial_ends: 'trial' is a trial plan, and the trial has no end; write when it ends"),
        ("acme,pro,pru,,2026-03-01", "2: trial_tier: tier 'pru' is not in the policy"),
        ("acme,pro,trial,,2026-03-01", "2: trial_tier: trial of 'trial' is below the account's own tier 'pro'"),
        ("acme,trial,pro,,2026-03-01", "2: tier: 'trial' is a trial plan, and so cannot be what a trial of 'pro' ends"),
    ],
)
def test_a_trial_that_cannot_be_is_a_bad_row(read, row, problem):
    """A trial ends, is of a trial plan or a tier, and gives no less than the tier."""
    accounts = tried(read, row)

    assert (0, [True]) == (len(accounts), [each.startswith(problem) for each in problems(accounts)])


@pytest.mark.parametrize(
    ("row", "expected", "problem"),
    [
        ("acme,pro,,,2026-03-01", Account("acme", "pro"), "2: warning: trial_ends: 'pro' is no trial plan"),
        ("acme,tier-2,pro,,2026-03-01", Account("acme", "tier-2"), "2: warning: trial_ends: 'tier-2' is no trial plan"),
        (
            "acme,prro,,,",
            Account("acme", "prro"),
            "2: warning: tier: tier 'prro' is not in the policy; write one of free",
        ),
    ],
)
def test_what_is_odd_under_the_policy_is_served_with_a_warning(read, row, expected, problem):
    """The end of a trial that was left behind after a purchase, and tiers that only `unknown_account` can judge."""
    accounts = tried(read, row)

    assert (expected, [True]) == (accounts.find("acme"), [each.startswith(problem) for each in problems(accounts)])


def test_another_policy_reads_the_same_file_anew(read):
    """Each sees its own; what was handed out before stays as it was."""
    plain = read("id,tier,trial_ends\nacme,trial,2026-03-01\nb,trial,\n")
    under = plain.with_policy(POLICY)

    assert (["trial", "trial"], ["free"]) == ([each.tier for each in plain], [each.tier for each in under])
    assert (0, 1) == (len(plain.problems), len(under.problems))


# -- files that are refused ------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty; its first line holds the headings, such as: id,tier"),
        (b"\xef\xbb\xbf\r\n \r\n,,;\t\r\n", "the file is empty"),
        ("id,tier\nacme,pro\n".encode("utf-16"), "UTF-16 or UTF-32; save it as CSV in UTF-8"),
        ("id,tier\nacme,pro\n".encode("utf-16-be"), ":1: a NUL byte; this is no text, or UTF-16"),
        (b"\xfe\xff\0i\0d", "is encoded in UTF-16; save"),
        (b"id,tier\nacme,pro\0\n", ":2: a NUL byte"),
        (b"id,tier\nacme,pro\nJos\x81,pro\n", ":3: byte 0x81 is neither UTF-8 nor Windows-1252; name the encoding, or"),
        (
            "id,tier\né,pro\n".encode() + b"\xe9,pro\n",
            ":3: byte 0xe9 is not UTF-8, though others are; name the encoding",
        ),
        (b"\xef\xbb\xbfid,tier\n\xe9,pro\n", ":2: byte 0xe9 is not UTF-8, though others are; name the encoding"),
        (b"PK\x03\x04\x14\0", "is a workbook or a zip file; save it as CSV in UTF-8"),
        (b'id,tier\nacme,pro\nb,"pro', ":3: a quoted cell that begins here is never closed"),
        (b'id,"tier\nacme,pro\n', ":1: a quoted cell that begins here is never closed"),
        (b'id,tier\nacme,"p"ro\n', ":2: a quoted cell goes on behind its quote"),
        (b"id,tier\nacme," + b"x" * 140_000, ":2: a cell that begins here is longer than a cell may be"),
        (b"idd,tier\nacme,pro\n", ":1: no column 'id'; did you mean 'idd'?; the headings are 'idd' and 'tier'"),
        (
            b"\nid;plan;teir;x\nacme;pro;;\n",
            ":2: no column 'tier'; did you mean 'teir'?; the headings are 'id', 'plan'",
        ),
        (b"acme\n", ":1: no column 'id'; the headings are 'acme'; name the column of the ids, such as id=\"account\""),
        (b"id,tier,Add-ons,add ons\n", ":1: the headings 'Add-ons' and 'add ons' are the same; rename one"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_with_the_cure(read, content, problem):
    """It names the file, the line where there is one, what is wrong, and what to do."""
    with pytest.raises(AccountError) as caught:
        read(content)

    assert "accounts.csv" in str(caught.value)
    assert problem in str(caught.value)


def test_a_windows_code_page_is_read_and_told(file):
    """A file that is not UTF-8 is read as Windows-1252, with a warning; another code page must be named."""
    path = file("id,tier\nJosé,pro\n".encode("cp1252"))
    cyrillic = CsvAccounts(file("id,tier\nЖук,pro\n".encode("cp1251")), encoding="windows-1251")
    path = file("id,tier\nacme,pro\nJosé,pro\n".encode("cp1252"))
    accounts = CsvAccounts(path)

    assert ("acme", "José") == accounts.ids()
    assert [(3, Severity.WARNING)] == [(each.line, each.severity) for each in accounts.problems]
    assert (("Жук",), ()) == (cyrillic.ids(), cyrillic.problems)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-7", "hz", "iso2022_jp", "cp037", "klingon", "base64", "rot13", "johab"]
)
def test_an_encoding_that_csv_files_do_not_have_is_refused(file, encoding):
    with pytest.raises(ValueError, match=f"encoding '{encoding}' is not one that CSV files have; write one such as"):
        CsvAccounts(file("id,tier\n"), encoding=encoding)


def test_a_file_that_is_not_there_is_an_error_with_the_cure(tmp_path):
    """Missing, a directory, a device, a name that no file can have."""
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "pipe", "a\0b", ""):
        with pytest.raises(AccountError, match="name a CSV file"):
            CsvAccounts(path)


@given(st.binary() | st.builds(bytes.__add__, st.just(b"id,tier\n"), st.binary()))
def test_no_bytes_raise_anything_but_an_account_error(content):
    """Whatever a file holds, it is read or refused with a reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "accounts.csv")
        path.write_bytes(content)
        with within_cpu_seconds(), contextlib.suppress(AccountError):
            CsvAccounts(path, policy=POLICY)


COLUMNS = ("id", "tier", "trial_ends", "anchor", "add_ons", "overrides", "grants", "changes", "status", "x")


@given(st.lists(st.tuples(*[st.text("ab19=+;()\"',. \n\t-é", max_size=12)] * len(COLUMNS)), max_size=5))
def test_no_cells_raise_anything_but_problems(rows):
    """Once the headings are right, whatever stands below them is served or a problem, row by row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "accounts.csv")
        path.write_text(written([COLUMNS, *rows], ",", csv.QUOTE_ALL), encoding="utf-8", newline="")
        accounts = CsvAccounts(path, policy=POLICY)

    blank = sum(not any(map(str.strip, row)) for row in rows)
    bad = {problem.line for problem in accounts.problems if problem.severity is Severity.ERROR}
    assert len(rows) == blank + len(accounts) + len(bad)


def written(rows, separator, quoting):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, quoting=quoting).writerows(rows)
    return out.getvalue()


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ID = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(str.strip)


@given(
    accounts=st.dictionaries(ID, st.tuples(st.sampled_from(["free", "pro", "trial"]), TEXT, TEXT), max_size=8),
    separator=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_what_a_csv_writer_writes_reads_back_the_same(accounts, separator, encoding, quoting):
    """In any separator, encoding and quoting: the same ids, tiers and attributes, in the same order."""
    rows = [(note, id, tier, city) for id, (tier, note, city) in accounts.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "accounts.csv")
        text = written([("note", "id", "tier", "city"), *rows], separator, quoting)
        path.write_bytes(text.encode(encoding))
        found = CsvAccounts(path)

    assert [
        Account(id, tier, attributes={"note": note, "city": city}) for id, (tier, note, city) in accounts.items()
    ] == list(found)


# -- reading again ---------------------------------------------------------------------


def test_a_changed_file_is_read_again_after_a_second(file):
    """Not before: the file is looked at once a second at most."""
    clock = Clock()
    accounts = CsvAccounts(file("id,tier\nacme,free\n"), clock=clock)
    file("id,tier\nacme,pro\nb,pro\n")

    clock.now = SECOND - 1
    before = tiers(accounts)
    clock.now = SECOND

    assert ({"acme": "free"}, {"acme": "pro", "b": "pro"}) == (before, tiers(accounts))


def test_a_file_that_has_not_changed_gives_the_same_accounts(file):
    """The same objects, although it was looked at, and even touched."""
    clock = Clock()
    accounts = CsvAccounts(file("id,tier\nacme,free\n"), clock=clock)
    first = accounts.find("acme")

    clock.now = SECOND
    second = accounts.find("acme")
    file("id,tier\nacme,free\n")
    clock.now = 2 * SECOND

    assert first is second is accounts.find("acme")


def test_a_change_within_the_clock_tick_of_the_file_system_is_seen(file):
    """A new version of the same size and time: as long as the file is young, its looks are not trusted."""
    clock, now = Clock(), 2**62
    path = file("id,tier\nacme,free\n", mtime=now)
    accounts = CsvAccounts(path, clock=clock)
    path.write_bytes(b"id,tier\nacme,gold\n")
    os.utime(path, ns=(now, now))

    clock.now = SECOND

    assert "gold" == accounts.find("acme").tier


def test_refresh_reads_now(file):
    """Without waiting for the second to pass."""
    accounts = CsvAccounts(file("id,tier\nacme,free\n"), clock=Clock())
    file("id,tier\nacme,pro\n")

    accounts.refresh()

    assert "pro" == accounts.find("acme").tier


def test_recheck_looks_at_the_next_question(file):
    """It does no I/O itself, so an event loop may call it."""
    accounts = CsvAccounts(file("id,tier\nacme,free\n"), clock=Clock())
    path = file("id,tier\nacme,pro\n")
    path.rename(path.with_suffix(".away"))
    accounts.recheck("acme")
    path.with_suffix(".away").rename(path)

    assert ("pro", None) == (accounts.find("acme").tier, accounts.stale_because)
    file("id,tier\nacme,max\n")
    assert "pro" == accounts.find("acme").tier


BAD = {
    "empty": b"",
    "binary": b"\0",
    "cut off": b'id,tier\nb,"pro',
    "no encoding": b"id,tier\n\x81,pro\n",
    "without tier": b"id,plan\nb,pro\n",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_version_never_replaces_a_good_one(file, caplog, bad):
    """The good one is served on, the reason is kept and logged once, until the next good version."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    accounts = CsvAccounts(file("id,tier\nacme,free\n"), clock=clock)
    file(bad)
    for second in range(1, 4):
        clock.now = second * SECOND
        assert {"acme": "free"} == tiers(accounts)

    reason = accounts.stale_because
    file("id,tier\nacme,pro\n")
    clock.now = 9 * SECOND

    assert ({"acme": "pro"}, None) == (tiers(accounts), accounts.stale_because)
    assert isinstance(reason, AccountError)
    assert [("WARNING", True), ("INFO", False)] == [
        (record.levelname, str(reason) in record.getMessage()) for record in caplog.records
    ]


def test_a_file_that_goes_away_and_comes_back_is_served_throughout(file, caplog):
    """Also if the same file returns, and if a directory is in its place meanwhile."""
    clock = Clock()
    path = file("id,tier\nacme,free\n")
    accounts = CsvAccounts(path, clock=clock)
    away = path.rename(path.with_suffix(".away"))
    for second in range(1, 3):
        clock.now = second * SECOND
        assert "free" == accounts.find("acme").tier
    path.mkdir()
    clock.now = 3 * SECOND
    assert "free" == accounts.find("acme").tier
    assert 2 == len(caplog.records)

    path.rmdir()
    away.rename(path)
    clock.now = 4 * SECOND

    assert ("free", None) == (accounts.find("acme").tier, accounts.stale_because)


def test_refresh_of_a_bad_file_tells_why_and_raises_nothing(file):
    """`stale_because` is the place to look."""
    accounts = CsvAccounts(file("id,tier\nacme,free\n"))
    file(b"")

    accounts.refresh()

    assert "the file is empty" in str(accounts.stale_because)
    assert "free" == accounts.find("acme").tier


def test_a_file_that_is_being_written_is_not_taken_half(file, monkeypatch):
    """A file that changes while it is read is read later."""
    path = file("id,tier\nacme,free\nb,free\n")
    accounts = CsvAccounts(path)
    read_bytes = Path.read_bytes

    def while_written(self):
        data = read_bytes(self)
        file("id,tier\nacme,pro\nb,pro\n")
        return data

    file("id,tier\nacme,pro\n")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", while_written)
        accounts.refresh()
    halfway = tiers(accounts), str(accounts.stale_because)
    accounts.recheck()

    assert {"acme": "free", "b": "free"} == halfway[0]
    assert "changed while it was read" in halfway[1]
    assert {"acme": "pro", "b": "pro"} == tiers(accounts)


def test_bad_rows_of_a_new_version_do_not_keep_it_out(file):
    """A version is bad as a whole or not at all; its bad rows are problems."""
    accounts = CsvAccounts(file("id,tier\nacme,free\n"))
    file("id,tier\nacme,\nb,pro\n")

    accounts.refresh()

    assert ({"b": "pro"}, None, 1) == (tiers(accounts), accounts.stale_because, len(accounts.problems))


def test_views_under_different_policies_share_the_file(file):
    """A refresh of one is a refresh of all, each still under its own policy."""
    plain = CsvAccounts(file("id,tier\nacme,pro\n"), clock=Clock())
    under = plain.with_policy(POLICY)
    file("id,tier,trial_ends\nacme,trial,2026-03-01\n")

    under.refresh()

    assert ("trial", "free") == (plain.find("acme").tier, under.find("acme").tier)


def test_readers_never_see_half_a_version(file):
    """Four threads ask while the file is replaced: each answer is of one version, whole."""
    path = file("id,tier\na,t0\nb,t0\n")
    accounts = CsvAccounts(path)
    wrong, over = [], threading.Event()

    def ask():
        while not over.wait(0.0005):
            seen = {account.tier for account in accounts}
            if len(seen) != 1 or accounts.find("a") is None:
                wrong.append(seen)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(1, 30):
        file(f"id,tier\na,t{version}\nb,t{version}\n")
        accounts.refresh()
    over.set()
    for thread in threads:
        thread.join()

    assert ([], "t29") == (wrong, accounts.find("a").tier)


@pytest.mark.parametrize(
    ("column", "cell", "says"),
    [
        ("add_ons", "phne", "'phne' is no add-on"),
        ("overrides", "ssso=true", "override of 'ssso'"),
        ("overrides", "api=20 per day", "per hour"),
        ("grants", "leds+5", "grant names 'leds', which is no limit"),
        ("changes", "gold at 2030-01-01", "change names 'gold', which is no tier"),
    ],
)
def test_a_row_that_the_policy_cannot_read_is_a_problem_and_is_not_served(tmp_path, column, cell, says):
    """Faults that only a policy shows are reported when the file is read, not by the first request."""
    path = tmp_path / "accounts.csv"
    path.write_text(f"id,tier,{column}\nbad,pro,{cell}\ngood,pro,\n", encoding="utf-8")

    accounts = CsvAccounts(path, policy=trade.policy())

    assert (None, "good") == (accounts.find("bad"), accounts.find("good").id)
    assert [2] == [problem.line for problem in accounts.problems]
    assert says in str(accounts.problems[0])


def test_headings_of_attributes_may_stand_twice(tmp_path):
    file = tmp_path / "accounts.csv"
    file.write_text("id,tier,Notes,ARR,notes,arr\nacme,pro,x,5,y,5\n")

    assert {"notes": "x", "arr": "5", "notes ": "y", "arr ": "5"} == CsvAccounts(file).find("acme").attributes


def test_a_column_that_is_ignored_is_an_attribute(tmp_path):
    file = tmp_path / "accounts.csv"
    file.write_text("id,tier,Status\nacme,pro,Customer\n")

    assert 0 == len(CsvAccounts(file))
    assert {"status": "Customer"} == CsvAccounts(file, ignore=["Status"]).find("acme").attributes


@pytest.mark.parametrize("before", ["\ufeff\ufeff", "sep=;\r\n", "\ufeffsep=;\n", '"sep=;"\n'])
def test_a_second_byte_order_mark_and_the_line_of_a_separator_are_no_heading(tmp_path, before):
    file = tmp_path / "accounts.csv"
    file.write_text(f"{before}id;tier\nacme;pro\n", encoding="utf-8", newline="")

    accounts = CsvAccounts(file)

    assert (("acme",), ()) == (accounts.ids(), accounts.problems)
