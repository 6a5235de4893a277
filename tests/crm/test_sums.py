"""Several rows of one account, added up; and numbers with decimal commas."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Enforcer, Policy
from entitlements.cli import main
from entitlements.crm import assign_base, choose_columns, read_layout
from entitlements.tiering.assignment import assign

POLICY = Policy.parse(
    {
        "policy": {"version": 1},
        "features": {"sso": "Single sign-on"},
        "tiers": {"low": {"rank": 1}, "mid": {"rank": 2}, "high": {"rank": 3, "features": ["sso"]}},
        "assignment": {
            "binding": "arr",
            "criteria": {
                "arr": {"kind": "amount", "least": 0},
                "seats": {"kind": "count"},
                "trade": {"kind": "word"},
            },
            "rules": [
                {"tier": "high", "when": {"arr": {"from": 50000}}},
                {"tier": "mid", "when": {"arr": {"from": 10000, "below": 50000}}},
                {"tier": "low", "when": {"arr": {"below": 10000}}},
            ],
        },
        "segmentations": {
            "share": {
                "share-of": "arr",
                "cuts": [{"tier": "high", "below": 50}, {"tier": "mid", "below": 80}, {"tier": "low"}],
            }
        },
    }
)
AMOUNTS = st.dictionaries(
    st.sampled_from("ABCDEF"), st.lists(st.integers(0, 60_000), min_size=1, max_size=4), min_size=1
)


def assigned(text, *, by=None, sums=("arr",)):
    layout = read_layout("in.csv", text.encode())
    return assign_base(POLICY, layout, choose_columns(layout, POLICY.assignment, "arr"), by=by, sums=sums)


@given(AMOUNTS, st.randoms(use_true_random=False))
def test_each_row_of_an_account_gets_the_tier_of_its_sum(amounts, random):
    rows = [(name, amount) for name, each in amounts.items() for amount in each]
    random.shuffle(rows)
    base = assigned("Account Name,ARR\n" + "".join(f"{name},{amount}\n" for name, amount in rows))

    sums = {name: sum(each) for name, each in amounts.items()}
    assert [assign(POLICY, {"arr": sums[name]}).tier for name, _ in rows] == [
        each.tier for each in base.results.values()
    ]
    assert sorted(base.results) == list(base.results)
    assert (len(sums), sum(sums.values())) == (
        sum(each.accounts for each in base.segments),
        sum(each.total for each in base.segments),
    )
    assert () == base.errors


@given(AMOUNTS)
def test_a_share_of_the_total_is_that_of_the_account(amounts):
    """An export of many rows has the segments of an export with one row for each sum."""
    many = "".join(f"{name},{amount}\n" for name, each in amounts.items() for amount in each)
    one = "".join(f"{name},{sum(each)}\n" for name, each in amounts.items())
    added, plain = (assigned(f"Account Name,ARR\n{rows}", by="share") for rows in (many, one))

    assert {each.account: each.tier for each in plain.results.values()} == {
        each.account: each.tier for each in added.results.values()
    }
    assert plain.segments == added.segments


def test_several_criteria_are_added_up_and_a_contradiction_of_others_is_reported():
    text = "Account Name,ARR,Seats,Trade\nA,30000,5,press\nA,30000,6,wedding\nB,1,1,press\nB,1,1,Press\n"
    base = assigned(text, sums=("arr", "seats"))

    assert ["high", "high", "low", "low"] == [each.tier for each in base.results.values()]
    assert ["in.csv:2: Trade and Trade: two things are said: Trade says press, Trade  says wedding; keep one"] == [
        str(each) for each in base.errors
    ]


@pytest.mark.parametrize(
    ("cell", "says"),
    [("", "in.csv:3: ARR: no tier: arr is not known"), ("-5", "in.csv:3: ARR: -5 is below 0"), ("€5", "is in EUR")],
)
def test_a_row_without_a_valid_value_leaves_the_sum_open(cell, says):
    """Nothing is taken for 0, and the line with the cell is reported."""
    base = assigned(f"Account Name,ARR\nA,60000\nA,{cell}\nB,5\n")

    assert [None, None, "low"] == [each.tier for each in base.results.values()]
    (problem,) = base.errors
    assert says in str(problem)
    assert 3 == problem.line


@pytest.fixture
def run_command(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    policy = {"policy": {"version": "1"}, "tiers": {"low": {"rank": 1}, "high": {"rank": 2}}} | {
        "assignment": {
            "binding": "arr",
            "criteria": {"arr": {"kind": "amount", "attributes": ["annual-value"]}, "seats": {"kind": "count"}, "new": {"kind": "flag"}},
            "rules": [{"tier": "high", "when": {"arr": {"from": 50000}}}, {"tier": "low", "when": {"arr": {"below": 50000}}}],
        }
    }  # fmt: skip
    Path("policy.yaml").write_text(json.dumps(policy))

    def run(text, *options):
        Path("in.csv").write_text(text, encoding="utf-8")
        code = main(["crm", "assign", "in.csv", "--policy", "policy.yaml", *options])
        return code, *capsys.readouterr()

    return run


def test_rows_of_one_account_are_added_up_by_option_alone(run_command):
    text = "Account Name,ARR\nA,30000\nA,30000\n"

    _, one, err = run_command(text)
    code, added, told = run_command(text, "--sum", "arr", "-o", "out.csv")

    assert "low" in one
    assert "or add its rows up: --sum arr" in err
    assert 0 == code
    assert ["high", "1", "60,000"] == added.splitlines()[1].split()[:3]
    assert "looked up" not in told
    assert ["A,30000,high", "A,30000,high"] == Path("out.csv").read_text().splitlines()[1:]


def test_accounts_that_moved_are_found_among_rows_that_are_added_up(run_command):
    Path("old.csv").write_text("Account Name,ARR,Tier\nA,20000,low\nA,20000,low\nB,1,low\n")

    _, out, _ = run_command("Account Name,ARR\nA,30000\nA,30000\nB,1\n", "--sum", "arr", "--diff", "old.csv")

    assert "1 moved, 1 stayed, 0 new, 0 gone" in out
    assert "A: low -> high (high: arr from 50,000, was 40,000)" in out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--sum", "new"), "--sum new: 'new' is a flag; did you mean"),
        (("--sum", "ar"), "--sum ar: 'ar' is no criterion; did you mean 'arr'?"),
    ],
)
def test_what_cannot_be_added_up_is_refused(run_command, options, says):
    code, _, err = run_command("Account Name,ARR\nA,1\n", *options)

    assert 2 == code
    assert says.removesuffix("; did you mean") in err


def test_sums_need_the_column_of_the_accounts(run_command):
    code, _, err = run_command("Owner,ARR\nA,1\n", "--sum", "arr")

    assert 4 == code
    assert "--id HEADING" in err


@pytest.mark.parametrize(
    ("cell", "total"),
    [
        ("50.000,00 €", "50,000"),
        ("1.234.567,89", "1,234,567.89"),
        ("60000", "60,000"),
        ("50 000,50", "50,000.50"),
        ("(1.000,00)", "-1,000"),
    ],
)
def test_decimal_commas_are_read_by_option(run_command, cell, total):
    Path("policy.yaml").write_text(
        Path("policy.yaml").read_text().replace('"version": "1"', '"version": "1", "currency": "EUR"')
    )
    text = f'Account Name,ARR\nA,"{cell}"\n'

    code, out, err = run_command(text, "--decimal-comma", "--json")

    assert (0, "") == (code, err)
    assert Decimal(total.replace(",", "")) == Decimal(str(json.loads(out)["segments"][0]["total"]))


@pytest.mark.parametrize("cell", ["50,000.00", "50,000", "1,5,0", "50.00"])
def test_numbers_of_the_other_notation_are_told_under_the_option(run_command, cell):
    code, _, err = run_command(f'Account Name,ARR\nA,"{cell}"\n', "--decimal-comma")

    assert 1 == code
    assert repr(cell) in err


@pytest.mark.parametrize("cell", ["50.000,00", "50.000", "50,5"])
def test_a_number_with_a_decimal_comma_is_told_with_the_option(run_command, cell):
    code, _, err = run_command(f'Account Name,ARR\nA,"{cell}"\n')

    assert 1 == code
    assert "or read decimal commas: --decimal-comma" in err


@pytest.mark.parametrize(
    "text",
    [
        "Account Name,ARR (USD)\nA,50000\n",
        "Account Name,ARR,Currency\nA,50000,USD\n",
        'Account Name,ARR (USD)\nA,"50.000,00"\n',
    ],
)
def test_an_amount_in_another_currency_is_told_to_be_converted_and_nothing_else(run_command, text):
    Path("policy.yaml").write_text(
        Path("policy.yaml").read_text().replace('"version": "1"', '"version": "1", "currency": "EUR"')
    )

    code, _, err = run_command(text)

    assert 1 == code
    assert "is in USD, the policy counts in EUR; convert it\n" in err
    assert "--decimal-comma" not in err


@given(st.decimals(0, 10**9, places=2, allow_nan=False))
def test_a_criterion_of_the_policy_reads_the_notation_of_its_accounts(number):
    written = f"{number:,}".translate(str.maketrans(".,", ",."))
    mapping = {
        "policy": {"version": 1, "currency": "EUR"},
        "tiers": {"low": {"rank": 1}},
        "assignment": {
            "binding": "arr",
            "criteria": {"arr": {"kind": "amount", "decimal-comma": True}},
            "rules": [{"tier": "low"}],
        },
    }

    found = Enforcer(Policy.parse(mapping)).review(Account("acme", "low", attributes={"arr": written}))

    assert number == found.assignment.criteria["arr"]
