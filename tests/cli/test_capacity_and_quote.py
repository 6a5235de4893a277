"""`entitlements capacity` and `entitlements quote`: output and exit codes."""

import json
from pathlib import Path

import pytest

PORTFOLIO = ["--accounts", str(Path(__file__).resolve().parents[2] / "examples" / "portfolio" / "accounts.csv"),
             "--id", "Account ID"]  # fmt: skip
AT = "2026-11-02T12:00Z"


def table(out):
    return [line.split() for line in out.splitlines()]


def test_the_capacity_of_the_portfolio(run_command):
    """14 / 1 + 52 / 5 + 122 / 20 = 32 managers; all three plans are exceeded, and one date does not exist."""
    code, out, err = run_command("capacity", *PORTFOLIO, "--at", AT)

    assert 1 == code
    assert ["enterprise", "14", "1-5", "1", "14", "14", "14", "?", "0", "700"] == table(out)[1]
    assert ["all", "300", "32", "14", "14", "0", "2,090"] == table(out)[-1]
    assert "mid-market has 52 customers, more than the planned 10 to 20" in err
    assert "Renewal Date: '2/30/2027' does not exist" in err


def test_the_capacity_after_the_moves_of_a_review(run_command):
    """
    quillmark and another scheduled move: the example base has 5, 12 and 15 paying accounts, so 5 + 3 + 1 managers; after
    the review's moves 4, 13 and 14: 4 + 3 + 1.
    """
    code, out, _ = run_command("capacity", "--at", AT, "--if", "moves", "--json")
    answer = json.loads(out)

    assert 0 == code
    assert ([5, 3, 1, 0], [4, 3, 1, 0]) == tuple(
        [each["csms"] for each in tiers] for tiers in (answer["tiers"], answer["then"]["tiers"])
    )
    assert sum(each["customers"] for each in answer["then"]["tiers"]) == 46
    assert answer["moves"]


def test_the_moves_are_those_of_a_review_with_the_same_usage(run_command):
    files = [*PORTFOLIO, "--at", AT, "--usage", PORTFOLIO[1].replace("accounts.csv", "usage.csv"), "--json"]
    moves = json.loads(run_command("capacity", "--if", "moves", *files)[1])["moves"]
    reviews = json.loads(run_command("review", *files)[1])["reviews"]

    assert {each["account"]: each["to"] for each in reviews if each["to"]} == moves
    assert "add --if moves" in run_command("capacity", *files)[2]


def test_the_capacity_after_the_moves_of_a_file(run_command, tmp_path):
    (tmp_path / "moves.csv").write_text("account,to\nlarkfield,tier-1\n", encoding="utf-8")
    (tmp_path / "bad.csv").write_text("account,to\nlarkfield,gold\n", encoding="utf-8")
    (tmp_path / "stranger.csv").write_text("account,to\nlarkfeld,tier-1\n", encoding="utf-8")
    answer = json.loads(run_command("capacity", "--at", AT, "--if", "moves.csv", "--json")[1])
    errors = [run_command("capacity", "--if", file)[2] for file in ("bad.csv", "stranger.csv")]

    assert (6, 11) == tuple(each["customers"] for each in answer["then"]["tiers"][:2])
    assert "bad.csv:2: tier: 'gold' is not in the policy" in errors[0]
    assert "'larkfeld' is to move and is not in the base; did you mean 'larkfield'" in errors[1]


def test_a_quote_with_a_move(run_command):
    """rookhaven pays 21,500: 3,500 more to 25,000; three sessions of 500; phone support is part of mid-market."""
    code, out, err = run_command("quote", "rookhaven", "phone-support", "training=3", "--to", "mid-market", "--at", AT)

    assert (0, "") == (code, err)
    assert "rookhaven (small-business to mid-market) pays 21,500 a year; amounts in USD" == out.splitlines()[0]
    assert "together: 3,500 a year, 1,500 once" in out
    assert ["agents", "10", "100"] in table(out)
    assert ["phone-support", "1", "0", "included", "in", "mid-market"] in table(out)


def test_a_quote_as_json(run_command):
    answer = json.loads(run_command("quote", "harborwick", "premium-support", "--at", AT, "--json")[1])

    assert (84_000, 0, "USD") == (answer["yearly"], answer["once"], answer["currency"])
    assert ("premium-support", 20, 84_000) == tuple(answer["lines"][0][name] for name in ("item", "percent", "amount"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["rookhaven"], "a quote needs an item or --to TIER"),
        (["rookhaven", "training=x"], "'x' is no quantity; write training=1"),
        (["rookhaven", "training=\u0662"], "'\u0662' is no quantity; write training=1"),
        (["rookhaven", f"training={'9' * 5000}"], "is no quantity; write training=1"),
        (["rookhaven", "training", "training=2"], "training is given twice; write training=2"),
        (["rookhaven", "phone-suport"], "did you mean 'phone-support'"),
        (["rookhavn", "training"], "did you mean 'rookhaven'"),
    ],
)
def test_quotes_that_cannot_be_are_named(run_command, argv, message):
    code, _, err = run_command("quote", *argv)

    assert code > 1
    assert message in err


def test_a_quote_by_quote_exits_with_1(run_command):
    code, out, _ = run_command("quote", "larkfield", "--to", "enterprise", "--at", AT)

    assert 1 == code
    assert "not known: custom-integrations: quote" in out
