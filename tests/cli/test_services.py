"""`entitlements services`: output and exit codes for the catalogue, an account and a base."""

import json
import re
from pathlib import Path

import pytest

from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run_command(capsys, monkeypatch, tmp_path):
    """Return a function that runs the command on the second funnel and returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("ENTITLEMENTS_STORE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENTITLEMENTS_POLICY", str(ROOT / "policies" / "second-funnel"))
    monkeypatch.setenv("ENTITLEMENTS_ACCOUNTS", "tiered.csv")
    Path("tiered.csv").write_text(
        'id,Tier,ARR\nrich,tier-1,"$100,000"\npoor,tier-1,"$60,000"\nquiet,tier-2,\nlate,,5\nodd,Platinum,5\n',
        encoding="utf-8",
    )

    def run(*argv):
        code = main(["services", *argv])
        return code, *capsys.readouterr()

    return run


def lines(text):
    return [re.sub(r"  +", " | ", line.strip()) for line in text.splitlines()]


def test_the_catalogue_shows_cost_and_times_a_year_by_tier(run_command):
    code, out, _ = run_command()

    assert (0, "service | cost | margin | tier-1 | tier-2 | tier-3") == (code, lines(out)[0])
    assert "Health Check | 900 | 0.35 | 2 | - | -" in lines(out)
    assert "Automated End User Engagement | 1.50 | 0.3 | - | - | 12" in lines(out)
    assert "times a year; variant 'later-stage' of later-stage, early-stage; in USD" == lines(out)[-1]


def test_an_option_chooses_another_variant(run_command):
    _, out, _ = run_command("--variant", "early-stage", "--json")
    answer = json.loads(out)

    assert ("early-stage", 13) == (answer["variant"], len(answer["tiers"]["tier-1"]))
    assert 23 == len(answer["catalogue"])


def test_the_cost_of_an_account_is_compared_with_its_payment(run_command):
    assert (0, 1) == (run_command("rich")[0], run_command("poor")[0])
    assert (
        "poor (tier-1): over-serviced: serving it costs 22,580, 37.6 % of 60,000, more than 25 %"
        in run_command("poor")[1]
    )
    assert "not known: arr is not known" in run_command("quiet")[1]
    assert json.loads(run_command("rich", "--json")[1])["servicing"] == "fitting"


def test_a_base_is_added_up_by_tier_and_lists_the_exceptions(run_command):
    code, out, err = run_command("--base")

    assert 1 == code
    assert [
        "tier | accounts | pay | serving costs | of that | worth | over | under | unknown",
        "tier-1 | 2 | 160,000 | 45,160 | 28.2 % | 60,160 | 1 | 0 | 0",
        "tier-2 | 1 | 0 | 2,480 |  | 3,272 | 0 | 0 | 1".replace(" |  | ", " | "),
        "all | 3 | 160,000 | 47,640 | 28.2 % | 63,432 | 1 | 0 | 1",
        "over-serviced:",
        "poor: serving it costs 22,580, 37.6 % of 60,000, more than 25 %",
        "unknown:",
        "quiet: arr is not known",
    ] == lines(out)
    assert ["5: Tier: the cell is empty", "6: warning: tier: tier 'Platinum' is not in the policy"] == [
        line.removeprefix("tiered.csv:").partition(";")[0] for line in err.splitlines()
    ]


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["rich", "--base"], 2, "--base is about all accounts; leave ACCOUNT out, or --base"),
        (["--variant", "early"], 2, "no variant of services 'early'; did you mean 'early-stage'?"),
        (["ritch"], 3, "account 'ritch' is not in tiered.csv; did you mean 'rich'?"),
        (["odd"], 2, "account 'odd' has the tier 'Platinum', which the policy does not know"),
        (["rich", "--id", "Name"], 4, "no column 'name'"),
        (["--policy", str(ROOT / "policies" / "minimal.yaml")], 2, "has no services; write a section `services`"),
    ],
)
def test_an_error_names_the_cure(run_command, argv, code, message):
    exit_code, out, err = run_command(*argv)

    assert (code, "") == (exit_code, out)
    assert message in err
