"""`entitlements assign`, `preview` and `review`: output and exit codes."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from entitlements import Account, Enforcer, Policy

ROOT = Path(__file__).resolve().parents[2]
POLICY = str(ROOT / "policies" / "customer-tiers")
AT = "2026-11-10T12:00Z"


def test_assign_shows_its_reasons(run_command):
    code, out, err = run_command("assign", "quillmark")

    assert (0, "") == (code, err)
    assert [
        "account 'quillmark' belongs in enterprise: rule 'enterprise', annual-value from 100,000",
        "agents 131 votes for enterprise (from 100)",
        "leads 10,400 votes for enterprise (from 10,000)",
    ] == out.splitlines()[:3]
    assert "optimisation hint: mid-market, by integrations" == out.splitlines()[-1]


def test_assign_as_json(run_command):
    code, out, _ = run_command("assign", "larkfield", "--json")
    answer = json.loads(out)

    assert (0, "mid-market", 96_000) == (code, answer["tier"], answer["criteria"]["annual-value"])
    assert {"tier": "enterprise", "signals": ["integrations"]} == answer["upgrade"]


def test_assign_exits_with_1_for_a_gap_and_names_implausible_values(run_command, tmp_path):
    (tmp_path / "base.csv").write_text("id,tier,Annual Revenue,Agents\nacme,freemium,-5,0\n", encoding="utf-8")
    code, out, _ = run_command("assign", "acme", "--accounts", "base.csv")

    assert 1 == code
    assert "account 'acme' has no tier: annual-value cannot be right" in out
    assert "account 'acme': agents: 0 is below 1" in out
    code, out, _ = run_command("assign", "acme", "--accounts", "base.csv", "--json")
    assert (1, "contradictory") == (code, json.loads(out)["gap"]["why"])


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (("assign", "nobody"), 3, "account 'nobody' is not in"),
        (("preview", "nobody", "freemium"), 3, "account 'nobody' is not in"),
        (("review", "nobody"), 3, "account 'nobody' is not in"),
        (("preview", "quillmark", "gold"), 2, "'gold' is no tier; there are enterprise"),
        (("preview", "quillmark", "trial"), 2, "'trial' is a trial plan"),
        (("preview", "quillmark", "freemium", "--wanted", "soon"), 2, "--wanted"),
        (("review", "--event", "merger"), 2, "--event is about one account"),
        (("review", "quillmark", "--event", "mergre"), 1, "did you mean 'merger'"),
    ],
)
def test_an_error_is_one_line(run_command, argv, code, message):
    exit_code, out, err = run_command(*argv)

    assert (code, "") == (exit_code, out)
    assert message in err
    assert 1 == len(err.splitlines())


def test_preview_shows_the_time_the_changes_and_the_steps(run_command):
    code, out, _ = run_command("preview", "tamarack-ridge", "small-business", "--at", AT)
    lines = out.splitlines()

    assert 0 == code
    assert (
        "tamarack-ridge: mid-market to small-business: downgrade, takes effect 2027-01-09 12:00 UTC (notice of 60 days)"
        == lines[0]
    )
    for line in (
        "  team-collaboration",
        "  agents: 100 -> 10",
        "  storage: 100 GB -> 10 GB",
        "  api: 1,000 per hour -> 100 per hour",
        "  csm.ratio: 1:5 -> 1:20",
        "  reviews.monthly: yes -> no",
        "usage was not looked at: add --usage FILE, or --store URL",
        "  Notice of 60 days",
    ):
        assert line in lines
    headings = [each for each in lines if each.startswith(("values", "services"))]
    assert ["values lost:", "values gained:", "values changed:"] == headings


def test_preview_may_be_wanted_later(run_command):
    _, out, _ = run_command("preview", "tamarack-ridge", "freemium", "--at", AT, "--wanted", "2027-06-01", "--json")
    plan = json.loads(out)

    assert ("2027-06-01T00:00:00Z", "not looked at", 5_184_000) == (plan["effective"], plan["usage"], plan["notice"])


def test_preview_of_the_own_tier_cancels_a_scheduled_change_and_of_another_tells_of_a_low_override(
    run_command, tmp_path
):
    (tmp_path / "base.csv").write_text(
        'id,tier,changes,overrides\nacme,mid-market,freemium at 2027-04-01,"leads=50 (pilot, by Ann)"\n'
    )
    base = ("--accounts", "base.csv", "--at", AT)

    _, stays, _ = run_command("preview", "acme", "mid-market", *base)
    _, moves, _ = run_command("preview", "acme", "enterprise", *base)

    assert [
        "acme: mid-market to mid-market: it stays in that tier",
        "instead of the change to freemium at 2027-04-01 00:00 UTC",
    ] == stays.splitlines()
    assert "  leads: 50 per month by an override, unlimited without it (pilot, by Ann)" in moves.splitlines()


def test_preview_of_the_tier_that_it_has(run_command):
    code, out, _ = run_command("preview", "tamarack-ridge", "tier-2")

    assert (0, "tamarack-ridge: mid-market to mid-market: nothing changes, it is in that tier\n") == (code, out)


def test_review_of_one_account(run_command):
    code, out, _ = run_command("review", "rookhaven", "--event", "non-renewal", "--at", AT)
    lines = [" ".join(line.split()) for line in out.splitlines()]

    assert 0 == code
    assert [
        "rookhaven (small-business): downgrade to freemium, after a notice of 30 days",
        "effective 2026-12-10 12:00 UTC",
        "because non-renewal speaks for a downgrade",
        "not known usage was not looked at",
        "steps Notice of 30 days",
    ] == lines[:5]


def test_preview_names_the_touchpoints_in_one_short_line(run_command):
    _, out, _ = run_command("preview", "rookhaven", "mid-market", "--at", AT)
    (line,) = [line for line in out.splitlines() if line.startswith("  touchpoints:")]

    assert line.startswith("  touchpoints: Newsletter (monthly), Webinar (quarterly), Check-in (bi-annually)")
    assert line.endswith("Executive review (bi-annually)")


def test_review_of_the_base(run_command):
    code, out, _ = run_command("review", "--at", AT)
    lines = [line.split() for line in out.splitlines()]

    assert 0 == code
    assert ["account", "tier", "action", "to", "effective", "outreach", "by", "because"] == lines[0]
    assert ["millrace", "small-business", "downgrade", "freemium", "2026-12-16", "a", "change"] == next(
        line for line in lines if line[:1] == ["millrace"]
    )[:7]
    assert [] == lines[47]
    assert ["mid-market:", "1", "downgrade,", "11", "keep"] == lines[49]
    assert "usage was not looked at: add --usage FILE, or --store URL" == out.splitlines()[-1]


def test_review_of_the_base_as_json(run_command):
    code, out, _ = run_command("review", "--at", AT, "--json")
    whole = json.loads(out)

    assert (0, 46, []) == (code, len(whole["reviews"]), whole["problems"])
    assert 46 == sum(count for actions in whole["actions"].values() for count in actions.values())
    assert {"count": 5, "least": 104_000, "middle": 265_000, "most": 420_000} == whole["compared"]["enterprise"][
        "annual-value"
    ]


def test_review_reads_a_column_of_events_and_drops_no_account(run_command, tmp_path):
    (tmp_path / "base.csv").write_text(
        "id,tier,annual_value,events\n"
        "closing,freemium,0,Business closed\n"
        "growing,freemium,0,expansion; brand-ambassador\n"
        "typing,freemium,0,mergre\n"
        "lost,gold,0,\n",
        encoding="utf-8",
    )
    code, out, err = run_command("review", "--accounts", "base.csv", "--json")
    whole = json.loads(out)

    assert 1 == code
    assert [("closing", "close"), ("growing", "upgrade")] == [
        (each["account"], each["action"]) for each in whole["reviews"]
    ]
    assert 2 == len(whole["problems"])
    assert "account 'typing': events: 'mergre' is no event" in whole["problems"][0]
    assert "account 'lost': tier 'gold' is not in the policy" in whole["problems"][1]
    assert "" == err
    assert 2 == len(run_command("review", "--accounts", "base.csv")[2].splitlines())


def test_review_and_preview_read_usage_from_the_store(run_command, valkey):
    with Enforcer(Policy.load(POLICY), store=valkey.url) as counting:
        counting.set_usage(Account("bluefinch", "small-business"), "agents", 10)
    review = json.loads(run_command("review", "bluefinch", "--store", valkey.url, "--json")[1])
    plan = json.loads(run_command("preview", "bluefinch", "freemium", "--store", valkey.url, "--json")[1])

    assert ("keep", "agents is at its limit: 10 of 10") == (review["action"], review["reasons"][0]["text"])
    assert (["agents"], "kept", 7) == (plan["over"], plan["limits"]["agents"]["fate"], plan["limits"]["agents"]["over"])
    assert timedelta(days=30).total_seconds() == plan["notice"]


# --- An export as it is ------------------------------------------------------------------------------------------

EXPORT = """Account ID,Tier,ARR,Agents,Requests,Events
acme,freemium,$0,2,,
globex,mid-market,"$50,000",40,sso=3,
initech,mid-market,"$50,000",40,,less-usage
"""
USAGE = """account,month,leads,leads_denied,agents,storage_gb
acme,2026-09,100,2,2,0.1
acme,2026-10,100,5,2,0.1
globex,2026-10,2000,0,40,5
globex,2026-10,2000,0,40,5
stray,2026-10,1,0,1,1
"""


@pytest.fixture
def export(tmp_path, run_command):
    """Return a function that runs a command on an export and its usage."""
    (tmp_path / "export.csv").write_text(EXPORT, encoding="utf-8")
    (tmp_path / "usage.csv").write_text(USAGE, encoding="utf-8")

    def run(command, *argv, usage="usage.csv"):
        source = ["--usage", usage] if usage else []
        return run_command(command, *argv, "--accounts", "export.csv", "--id", "Account ID", "--at", AT, *source)

    return run


def test_review_reads_the_usage_of_a_file_and_shows_when_moves_take_effect(export):
    """24 support hours from Tuesday 07:00 in New York, an hour before support opens, are Wednesday 20:00."""
    code, out, err = export("review")
    rows = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line}

    assert code == 1
    assert rows["acme"].startswith("acme freemium upgrade small-business 2026-11-12 01:00 UTC leads was exceeded in 2")
    assert rows["globex"] == "globex mid-market upgrade enterprise sso was asked for 3 times; enterprise has it"
    assert rows["initech"].startswith("initech mid-market downgrade small-business 2027-01-09 less-usage")
    assert "usage.csv:5: month: 'globex' has this month in line 4 already" in err
    assert "usage.csv:6: warning: account: 'stray' is no account" in err


def test_review_of_one_account_shows_notice_effective_date_and_outreach(export):
    _, out, _ = export("review", "initech")
    assert "downgrade to small-business, after a notice of 60 days" in out
    assert "  effective  2027-01-09 12:00 UTC" in out

    _, out, _ = export("review", "acme")
    assert "  outreach   by 2026-11-12 01:00 UTC" in out


def test_review_as_json_has_the_dates(export):
    _, out, _ = export("review", "initech", "--json")

    assert json.loads(out)["effective"] == "2027-01-09T12:00:00Z"
    assert json.loads(out)["outreach_due"] is None


def test_preview_reads_the_usage_of_a_file(export):
    _, out, _ = export("preview", "globex", "small-business")

    assert "agents: 100 -> 10; 30 over: kept" in out


def test_assign_takes_signals_that_the_account_lacks_from_the_usage(export, tmp_path):
    (tmp_path / "more.csv").write_text("account,month,leads\nglobex,2026-10,12000\n", encoding="utf-8")
    _, out, _ = export("assign", "globex", usage="more.csv")

    assert "leads 12,000 votes for enterprise" in out
    assert "agents 40 votes for mid-market" in out


def test_sla_finds_accounts_by_another_column(export):
    code, out, _ = export("sla", "globex", "P1", usage=None)

    assert (code, out.splitlines()[0]) == (0, "globex, on tier mid-market: p1, Critical, System down")


def test_a_file_without_the_column_of_ids_names_the_option(run_command, tmp_path):
    (tmp_path / "export.csv").write_text(EXPORT, encoding="utf-8")
    code, _, err = run_command("review", "--accounts", "export.csv")

    assert code == 4
    assert "name the column of the ids: --id HEADING" in err


def test_a_usage_file_without_months_names_the_option(export, tmp_path):
    (tmp_path / "usage.csv").write_text("account,leads\nacme,3\n", encoding="utf-8")
    code, _, err = export("review")

    assert code == 4
    assert (
        "usage.csv: no column 'month'; the headings are 'account', 'leads'; name it: --usage-column month=HEADING"
        in err
    )


def test_a_request_without_a_number_is_told(export, tmp_path):
    (tmp_path / "export.csv").write_text(EXPORT.replace("sso=3", "sso=often"), encoding="utf-8")
    code, _, err = export("review")

    assert code == 1
    assert "account 'globex': requests: 'sso=often' has no number of times; write sso=3" in err
