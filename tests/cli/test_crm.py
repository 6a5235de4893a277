"""`entitlements crm`: the files it writes, its reports and its exit codes."""

import json
import re
from pathlib import Path

import pytest
from funnel_tables import EXAMPLE, HEADINGS

from entitlements import AccountError, CsvAccounts, Enforcer, Policy
from entitlements.cli import main
from entitlements.model.problem import Severity
from entitlements.tiering.dates import date_fault

ROOT = Path(__file__).resolve().parents[2]
FUNNEL = ROOT / "policies" / "second-funnel"
CUSTOMER_TIERS = ROOT / "policies" / "customer-tiers"

EXPORT = (
    '"Account Name";ARR;City;"Renewal Date"\r\n'
    '"Brandt; Söhne";"$50,000";Köln;1/1/2017\r\n'
    "Ferro;€12000;Roma;\r\n"
    "Lumo;12000.50;;31.12.2026\r\n"
    ";;;\r\n"
    "Nil;;;\r\n"
    "Minus;-5;;2/31/2026\r\n"
    "Lumo;9,000;;2026-02-29\r\n"
    "Dot;50.000;;31 February 2026\r\n"
).encode("cp1252")


@pytest.fixture
def run_command(capsys, monkeypatch, tmp_path):
    """Return a function that runs a command on the second funnel and returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENTITLEMENTS_POLICY", str(FUNNEL))
    Path("base.csv").write_bytes(EXPORT)

    def run(*argv):
        code = main(["crm", *argv])
        return code, *capsys.readouterr()

    return run


def lines(text):
    return [re.sub(r"  +", " | ", line) for line in text.splitlines()]


# --- Assigning ------------------------------------------------------------------------------------------------------


def test_every_row_gets_a_tier_and_every_gap_is_reported_by_line_and_field(run_command):
    code, out, err = run_command("assign", "base.csv", "-o", "tiered.csv")

    assert 1 == code
    assert [
        "tier | accounts | total arr | share | least | most",
        "tier-1 | 1 | 50,000 | 70.4 % | 50,000 | 50,000",
        "tier-2 | 1 | 12,000.50 | 16.9 % | 12,000.50 | 12,000.50",
        "tier-3 | 1 | 9,000 | 12.7 % | 9,000 | 9,000",
        "(no tier) | 4 | 0 | 0.0 %",
        "written: tiered.csv",
    ] == lines(out)
    assert [
        "base.csv:2: warning: the file is not UTF-8, and is read as Windows-1252; name its encoding: --encoding",
        "base.csv:3: ARR: '€12000' is in EUR, the policy counts in USD; convert it",
        "base.csv:6: ARR: no tier: arr is not known, so rule 'tier-1' cannot be decided; fill in the cell",
        "base.csv:7: Renewal Date: '2/31/2026' does not exist; write a date such as 2027-01-31, or leave the cell empty",
        "base.csv:7: ARR: -5 is below 0; correct it, or leave it empty",
        "base.csv:8: Renewal Date: '2026-02-29' does not exist; write a date such as 2027-01-31, or leave the cell empty",
        "base.csv:8: warning: Account Name: 'Lumo' stands in line 4 already; both get a tier, only the first is looked up; give each account a name of its own, or add its rows up: --sum arr",
        "base.csv:9: Renewal Date: '31 February 2026' does not exist; write a date such as 2027-01-31, or leave the cell empty",
        "base.csv:9: ARR: '50.000' may be thousands or thousandths; write 50000, or 50.00, or read decimal commas: --decimal-comma",
    ] == err.splitlines()
    said = dict(zip(Path("tiered.csv").read_bytes().splitlines(), EXPORT.splitlines(), strict=True))
    assert all(new.startswith(old) for new, old in said.items())
    assert [b";Tier", b";tier-1", b";", b";tier-2", b"", b";", b";", b";tier-3", b";"] == [
        new.removeprefix(old) for new, old in said.items()
    ]


def test_the_result_is_a_directory_of_accounts_as_it_stands(run_command):
    """The same reader detects encoding and separator; rows with an empty tier or a repeated id are reported, not served."""
    run_command("assign", "base.csv", "-o", "tiered.csv")
    accounts = CsvAccounts("tiered.csv", id="Account Name")
    enforcer = Enforcer(Policy.load(FUNNEL), accounts=accounts)

    assert enforcer.can("Brandt; Söhne", "service.health-check")
    assert not enforcer.can("Lumo", "service.health-check")
    assert not enforcer.can("Nil", "service.faq")
    assert ("Brandt; Söhne", "Lumo") == accounts.ids()
    assert [3, 6, 7, 8, 9] == [each.line for each in accounts.problems if each.severity is Severity.ERROR]


def test_a_clean_file_ends_with_0_and_writes_nothing_without_output(run_command, tmp_path):
    Path("fine.csv").write_text("Account Name,ARR\nacme,5\n", encoding="utf-8")
    code, _, err = run_command("assign", "fine.csv")

    assert (0, "") == (code, err)
    assert {"base.csv", "fine.csv"} == {each.name for each in tmp_path.iterdir()}


def test_labels_reasons_and_the_order_of_segments(run_command):
    run_command("assign", "base.csv", "-o", "out.csv", "--labels", "--explain", "--sort", "--tier-column", "Segment")

    assert [
        ("Account Name", "Segment", "Tier Reason"),
        ("Brandt; Söhne", "Tier 1", "tier-1: arr from 50,000"),
        ("Lumo", "Tier 2", "tier-2: arr from 10,000 below 50,000"),
        ("Lumo", "Tier 3", "tier-3: arr from 0 below 10,000"),
        ("Ferro", "", "arr cannot be right, so rule 'tier-1' cannot be decided"),
        ("Nil", "", "arr is not known, so rule 'tier-1' cannot be decided"),
        ("Minus", "", "arr cannot be right, so rule 'tier-1' cannot be decided"),
        ("Dot", "", "arr cannot be right, so rule 'tier-1' cannot be decided"),
    ] == _columns("out.csv", "Account Name", "Segment", "Tier Reason")
    assert Path("out.csv").read_bytes().splitlines()[-1] == b";;;"


def test_the_accounts_of_a_segment_stand_largest_first_and_equal_ones_as_before(run_command):
    Path("many.csv").write_text("Account Name,ARR\na,5\nb,70000\nc,900\nd,\ne,900\nf,80000\n", encoding="utf-8")
    run_command("assign", "many.csv", "-o", "out.csv", "--sort")

    assert "fbcead" == "".join(line[0] for line in Path("out.csv").read_text(encoding="utf-8").splitlines()[1:])


def _columns(path, *names):
    import csv
    import io

    rows = list(csv.reader(io.StringIO(Path(path).read_bytes().decode("cp1252"), newline=""), delimiter=";"))
    places = [rows[0].index(name) for name in names]
    return [tuple(row[at] for at in places) for row in rows if any(row)]


def test_a_segmentation_by_share_looks_at_the_whole_base(run_command):
    Path("shares.csv").write_text("Account Name,ARR\na,40\nb,30\nc,20\nd,10\n", encoding="utf-8")
    code, out, _ = run_command("assign", "shares.csv", "--by", "arr-share", "-o", "out.csv", "--explain")

    assert (0, 4) == (code, len(out.splitlines()) - 1)
    assert [
        "Account Name,ARR,Tier,Tier Reason",
        'a,40,tier-1,"arr-share: arr 40 begins at 0 % of the total, below 15 %"',
        'b,30,tier-2,"arr-share: arr 30 begins at 40 % of the total, below 55 %"',
        'c,20,tier-3,"arr-share: arr 20 begins at 70 % of the total, in the rest"',
        'd,10,tier-3,"arr-share: arr 10 begins at 90 % of the total, in the rest"',
    ] == Path("out.csv").read_text(encoding="utf-8").splitlines()


def test_the_example_of_the_paper_makes_the_round_trip(run_command):
    cells = ",".join(f'"{cell}"' if "," in cell else cell for cell in EXAMPLE)
    Path("paper.csv").write_text(f"{','.join(HEADINGS)}\n{cells}\n", encoding="utf-8")
    code, *_ = run_command("assign", "paper.csv", "-o", "out.csv", "--labels")

    assert 0 == code
    assert [f"{','.join(HEADINGS)},Tier", f"{cells},Tier 1"] == Path("out.csv").read_text(encoding="utf-8").splitlines()


def test_an_unknown_tier_is_kept_and_reported_and_never_guessed(run_command):
    Path("old.csv").write_text("Account Name,Tier,ARR\na,Platinum,70000\nb,TIER 1,5\nc,,5\n", encoding="utf-8")
    code, out, err = run_command("assign", "old.csv", "-o", "new.csv")

    assert 1 == code
    assert "1 of these keep a tier that policy second-funnel-1 does not know" in out
    assert [
        "old.csv:2: Tier: tier 'Platinum' is not in the policy (tier-1, tier-2, tier-3), and is kept; empty the cell to get tier-1"
    ] == err.splitlines()
    assert ["a,Platinum,70000", "b,tier-3,5", "c,tier-3,5"] == Path("new.csv").read_text().splitlines()[1:]


def test_diff_lists_the_accounts_that_move_with_the_reason(run_command):
    Path("was.csv").write_text(
        "Account Name,ARR,Tier\nup,9000,tier-3\ndown,60000,Tier 1\nsame,5,tier-3\ngone,5,tier-3\ntwo,1,tier-3\n"
        "odd,5,Platinum\nlost,5,tier-3\n",
        encoding="utf-8",
    )
    Path("now.csv").write_text(
        "Account Name,ARR\nup,10000\ndown,40000\nsame,6\ntwo,1\ntwo,2\nodd,5\nlost,\nfresh,1\n", encoding="utf-8"
    )
    _, out, _ = run_command("assign", "now.csv", "--diff", "was.csv")

    assert [
        "4 moved, 1 stayed, 1 new, 1 gone",
        " | up | up: tier-3 -> tier-2 (tier-2: arr from 10,000 below 50,000, was 9,000)",
        " | down | down: tier-1 -> tier-2 (tier-2: arr from 10,000 below 50,000, was 60,000)",
        " | other | odd: Platinum -> tier-3 (tier-3: arr from 0 below 10,000)",
        " | other | lost: tier-3 -> no tier (arr is not known, so rule 'tier-1' cannot be decided, was 5)",
        " | new | fresh",
        " | gone | gone",
        " | twice | two",
    ] == lines(out.split("\n\n")[1])


def test_json_has_every_row_and_problem(run_command):
    code, out, err = run_command("assign", "base.csv", "--diff", "base.csv", "--tier-column", "City", "--json")
    answer = json.loads(out)

    assert (1, "") == (code, err)
    assert {"segments", "moves", "rows", "problems"} == set(answer)
    assert 8 == len(answer["rows"]) + 1
    assert {"line": 3, "field": "ARR", "severity": "error"}.items() <= answer["problems"][2].items()


def test_only_the_first_problems_are_listed(run_command):
    Path("many.csv").write_text("Account Name,ARR\n" + "x,\n" * 30, encoding="utf-8")
    _, _, err = run_command("assign", "many.csv")

    assert (21, "… and 10 more problems: --json tells all") == (len(err.splitlines()), err.splitlines()[-1])


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["assign", "nowhere.csv"], 4, "nowhere.csv: the file cannot be read (No such file or directory); name a CSV"),
        (["assign", "base.csv", "-o", "base.csv"], 2, "base.csv is the file that is read; write to another one"),
        (["assign", "base.csv", "-o", "no/where.csv"], 4, "no/where.csv: the file cannot be written"),
        (["assign", "base.csv", "--by", "share"], 2, "has no segmentation 'share'; did you mean 'arr-share'?"),
        (["assign", "base.csv", "--id", "Name"], 4, "--id Name: no column of that heading; the headings are 'Account"),
        (
            ["assign", "base.csv", "--column", "arr"],
            2,
            "--column 'arr' is not a criterion and a heading; write arr=ACV",
        ),
        (["assign", "base.csv", "--column", "acv=ARR"], 2, "--column acv=…: the policy has no criterion 'acv'"),
        (["assign", "base.csv", "--column", "arr=X"], 4, "--column arr=X: no column of that heading"),
        (["assign", "base.csv", "--encoding", "utf-8"], 4, "base.csv:2: byte 0xf6 is not utf-8; name another encoding"),
        (["assign", "base.csv", "--encoding", "utf-16"], 2, "encoding 'utf-16' is not one that CSV files have"),
        (["assign", "base.csv", "--separator", "|"], 2, "separator '|' is not one of comma, semicolon and tab"),
        (["assign", "base.csv", "--separator", "comma"], 4, "base.csv:"),
        (["assign", "base.csv", "--diff", "base.csv"], 4, "base.csv: there is no column with tiers to compare with"),
        (["assign", "base.csv", "--tier-column", "ARR"], 4, "column 'ARR' is read for ARR; name another to write into"),
        (["assign", "base.csv", "--tier-column", "account name"], 4, "is read for the accounts' name; name another"),
        (["assign", "base.csv", "--tier-column", "Tier Reason"], 4, "cannot be written into one column; name two"),
        (["assign", "two.csv"], 4, "'ARR' (#2) and 'ACV' (#3) may each be arr; say which: --column arr=#2"),
        (["formula", "--by", "arr-share"], 2, "is by share of a whole base; give the export too"),
        (["formula", "--by", "industry"], 2, "no rule asks for arr alone, so there is nothing to write"),
        (["formula", "empty.csv", "--by", "arr-share"], 4, "empty.csv: no row has a usable arr"),
    ],
)
def test_an_error_names_the_option_that_helps(run_command, argv, code, message):
    Path("two.csv").write_text("Account Name,ARR,ACV\na,5,6\n", encoding="utf-8")
    Path("empty.csv").write_text("Account Name,ARR\na,\n", encoding="utf-8")
    exit_code, out, err = run_command(*argv)

    assert (code, "") == (exit_code, out)
    assert message in err


def test_an_option_names_the_column_of_a_criterion(run_command):
    Path("two.csv").write_text("Account Name,ARR,ACV\na,5,60000\n", encoding="utf-8")

    assert [0, 0] == [run_command("assign", "two.csv", "-o", f"{n}.csv", "--column", f"arr=#{n}")[0] for n in (2, 3)]
    assert ["a,5,60000,tier-3", "a,5,60000,tier-1"] == [
        Path(f"{n}.csv").read_text(encoding="utf-8").splitlines()[1] for n in (2, 3)
    ]


def test_a_policy_without_rules_is_an_error(run_command):
    code, _, err = run_command("assign", "base.csv", "--policy", str(ROOT / "policies" / "minimal.yaml"))

    assert (2, True) == (code, "has no assignment rules; write a section `assignment`" in err)


def test_a_failed_write_leaves_the_old_file(run_command, tmp_path):
    Path("bad.csv").write_bytes(b'Account Name,ARR\na,5\nb,"6')
    Path("out.csv").write_text("old", encoding="utf-8")
    code, _, err = run_command("assign", "bad.csv", "-o", "out.csv")

    assert (4, True) == (code, "bad.csv:3: a quoted cell that begins here is never closed" in err)
    assert ("old", {"bad.csv", "base.csv", "out.csv"}) == (
        Path("out.csv").read_text(encoding="utf-8"),
        {each.name for each in tmp_path.iterdir()},
    )


@pytest.mark.parametrize(
    "text",
    ["2017-01-31", "1/1/2017", "12/31/2026", "31.12.2026", "31/12/26", "2024-02-29", "2026-01-05T10:00:00Z",
     "5 May 2026", "May 5, 2026", "29 Feb", "2026/7/1"],
)  # fmt: skip
def test_a_date_that_exists_is_fine(text):
    assert date_fault(text) is None


@pytest.mark.parametrize(
    "text", ["2/31/2017", "31 February", "2026-02-29", "31.04.2026", "0/1/2017", "2026-13-01", "Feb 30, 2024"]
)
def test_a_date_that_does_not_exist_is_a_fault(text):
    assert f"{text!r} does not exist" == date_fault(text)


@pytest.mark.parametrize("text", ["soon", "2026", "1/1/1/1", "Foo 3, 2026", "123/4/2026"])
def test_a_text_that_is_no_date_is_a_fault(text):
    assert f"{text!r} is not a date" == date_fault(text)


def test_no_file_raises_anything_but_an_error_of_ours():
    from entitlements.crm import read_layout

    for data in (b"\xff\xfe\x00", b"\x00", b'"', b"\x81", b"\xef\xbb\xbf", b"\x1f\x8b"):
        with pytest.raises(AccountError):
            list(read_layout("x.csv", data).records())


# --- The formula ----------------------------------------------------------------------------------------------------


def test_the_formula_is_nested_ifs_over_the_binding_criterion(run_command):
    _, out, err = run_command("formula", "--policy", str(CUSTOMER_TIERS), "--field", "ARR__c")

    assert (
        'IF(OR(ISBLANK(ARR__c), ARR__c < 0), "", IF(ARR__c >= 100000, "enterprise", IF(ARR__c >= 25000, "mid-market",'
        ' IF(ARR__c >= 5000, "small-business", IF(ARR__c >= 0, "freemium", "")))))\n'
    ) == out
    assert "left out: rule 'trial' asks for more than ARR__c\n" == err


def test_the_formula_of_a_share_takes_its_figures_from_the_base(run_command):
    Path("shares.csv").write_text("Account Name,ARR\na,40\nb,30\nc,20\nd,10\n", encoding="utf-8")
    _, out, _ = run_command("formula", "shares.csv", "--by", "arr-share", "--labels", "--json")

    assert {
        "formula": 'IF(OR(ISBLANK(ARR), ARR < 0), "", IF(ARR >= 40, "Tier 1", IF(ARR >= 30, "Tier 2", "Tier 3")))',
        "field": "ARR",
        "left_out": [],
    } == json.loads(out)


# --- Files of CRMs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "cell", "problem"),
    [
        ("Status", "Customer", "'Customer'"),
        ("Changes", "2026-11-01", "2026-11-01"),
        ("Add-ons", "Premium Support", "'Premium Support'"),
    ],
)
def test_a_cell_that_a_directory_cannot_read_is_reported_with_the_option_that_cures_it(
    run_command, heading, cell, problem
):
    Path("in.csv").write_text(f"Account Name,{heading},ARR\nA,{cell},60000\n", encoding="utf-8")

    code, _, err = run_command("assign", "in.csv", "-o", "out.csv")
    ignored, _, _ = run_command("assign", "in.csv", "-o", "out.csv", "--ignore", heading)

    assert (1, 0) == (code, ignored)
    assert f"in.csv:2: {heading}: " in err
    assert problem in err
    assert f"--ignore '{heading}'" in err
    policy = Policy.load(FUNNEL)
    assert ("A",) == CsvAccounts("out.csv", id="Account Name", policy=policy, ignore=[heading]).ids()


@pytest.mark.parametrize(
    ("name", "problem"),
    [('"A\nNorth"', "control characters"), ("A" * 300, "must have 1 to 256 characters"), (" A", "blanks")],
)
def test_a_name_that_is_not_served_as_written_is_reported(run_command, name, problem):
    Path("in.csv").write_text(f"Account Name,ARR\n{name},60000\n", encoding="utf-8")

    _, _, err = run_command("assign", "in.csv")

    assert problem in err


@pytest.mark.parametrize("heading", ["Record ID", "Company name"])
def test_the_headings_of_hubspot_name_accounts(run_command, heading):
    Path("in.csv").write_text(f"{heading},ARR\nA,60000\nA,60000\n", encoding="utf-8")

    assert "'A' stands in line 2 already" in run_command("assign", "in.csv")[2]


def test_a_file_without_names_of_accounts_is_a_warning(run_command):
    Path("in.csv").write_text("Firm,ARR\nA,60000\n", encoding="utf-8")

    code, _, err = run_command("assign", "in.csv")

    assert 0 == code
    assert "no column names the accounts" in err
    assert "--id HEADING" in err


@pytest.mark.parametrize("before", ["\ufeff\ufeff", "sep=;\r\n", "\ufeffsep=;\r\n"])
def test_a_second_byte_order_mark_and_the_line_of_a_separator_are_kept(run_command, before):
    Path("in.csv").write_bytes(f"{before}Account Name;ARR\r\nA;60000\r\n".encode())

    code, _, _ = run_command("assign", "in.csv", "-o", "out.csv")

    assert 0 == code
    assert f"{before}Account Name;ARR;Tier\r\nA;60000;tier-1\r\n".encode() == Path("out.csv").read_bytes()


def test_annual_revenue_is_asked_for_and_not_taken(run_command):
    Path("in.csv").write_text("Account Name,Annual Revenue\nA,60000\n", encoding="utf-8")
    arguments = ("assign", "in.csv", "--policy", str(CUSTOMER_TIERS))

    code, _, err = run_command(*arguments)
    named, _, _ = run_command(*arguments, "--column", "annual-value=Annual Revenue")

    assert (4, 0) == (code, named)
    assert "--column annual-value='Annual Revenue'" in err


@pytest.mark.parametrize(
    ("headings", "options"),
    [
        ("ARR,ARR Currency", ()),
        ("ARR,CurrencyIsoCode", ()),
        ("Amount,Amount Currency", ("--column", "arr=Amount")),
        ("Amount (EUR),Code", ("--column", "arr=Amount (EUR)")),
    ],
)
def test_amounts_in_another_currency_are_reported_and_not_added_up(run_command, headings, options):
    Path("in.csv").write_text(f"Account Name,{headings}\nA,60000,EUR\n", encoding="utf-8")

    code, _, err = run_command("assign", "in.csv", *options)

    assert 1 == code
    assert "is in EUR, the policy counts in USD" in err
