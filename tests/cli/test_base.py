"""`entitlements base`, `health` of all accounts, `uptime`, `trials` and `conversion`: figures by hand, and bad files."""

import json
from pathlib import Path

import pytest

from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]
AT = "2026-11-02T09:00Z"

ACCOUNTS = """Account ID,Name,Tier,ARR,Industry,Channel,Renewal Date,NPS,Adoption,Open Cases,Last Seen,Invited,First Lead
a1,Alder,enterprise,"$300,000",carrier,direct,12/1/2026,60,90,1,,,
a2,Birch,enterprise,"$100,000",carrier,partner,1/20/2027,20,40,6,,,
b1,Cedar,mid-market,"$40,000",regional-agency,partner,2/15/2027,-10,50,4,,,
b2,Dogwood,mid-market,"$60,000",regional-agency,direct,10/20/2026,40,70,0,,,
c1,Elm,small-business,"$10,000",independent,partner,,30,60,0,,,
c2,Fir,small-business,"$20,000",independent,direct,11/2/2026,10,20,2,,,
f1,Gum,freemium,$0,independent,direct,,,,,2026-10-30,2026-03-01,2026-03-05
f2,Hazel,freemium,$0,independent,direct,,,,,2026-08-01,2026-03-01,
"""
EARLIER = (
    ACCOUNTS
    + 'b3,Ivy,mid-market,"$50,000",regional-agency,direct,,,,,,,\nc3,Jade,small-business,"$30,000",independent,direct,,,,,,,\n'
)
MEASURES = """account,month,leads,logins,feature-usage,kpi-achievement,goal-attainment,csat,nps,days-late
b1,2026-10,0,10,40,80,60,3,-10,30
b1,2026-07,900,20,80,100,100,5,50,0
b2,2026-10,500,20,80,100,100,5,60,0
f2,2026-07,0,,,,,,,
f1,2026-09,3,,,,,,,
"""


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that runs a command on the base of this file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTITLEMENTS_POLICY", str(ROOT / "policies" / "customer-tiers"))
    for name in ("ENTITLEMENTS_STORE", "ENTITLEMENTS_ACCOUNTS", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "accounts.csv").write_text(ACCOUNTS, encoding="utf-8")
    (tmp_path / "earlier.csv").write_text(EARLIER, encoding="utf-8")
    (tmp_path / "measures.csv").write_text(MEASURES, encoding="utf-8")

    def run_command(*argv, base=True):
        own = ("--accounts", "accounts.csv", "--id", "Account ID", "--at", AT) if base else ()
        code = main([*argv, *own])
        return code, *capsys.readouterr()

    return run_command


@pytest.fixture
def json_of(run):
    """Return a function that returns the JSON of a command."""
    return lambda *argv, **options: json.loads(run(*argv, "--json", **options)[1])


def words(text):
    return [" ".join(line.split()) for line in text.splitlines()]


# --- Renewals ---------------------------------------------------------------------------------------------------


def test_renewals_of_the_next_ninety_days(json_of):
    """2 November 2026 is day 0, so 1 December is day 29 and 20 January day 79; 15 February is day 105."""
    found = json_of("base", "renewals")

    assert [(each["account"], each["days"], each["pays"]) for each in found["due"]] == [
        ("c2", 0, 20_000),
        ("a1", 29, 300_000),
        ("a2", 79, 100_000),
    ]
    assert [(each["account"], each["days"]) for each in found["overdue"]] == [("b2", -13)]
    assert found["undated"] == ["c1"]


def test_renewals_are_added_up(run):
    """300,000 + 100,000 + 20,000."""
    assert words(run("base", "renewals")[1])[0] == "3 renewals in 90 days, 420,000 a year"


def test_a_date_that_cannot_be_is_told_by_row_and_field(run, tmp_path):
    (tmp_path / "accounts.csv").write_text(ACCOUNTS.replace("12/1/2026", "31/31/2026"), encoding="utf-8")
    code, out, err = run("base", "renewals")

    assert code == 1
    assert "accounts.csv:2: renewal-date: '31/31/2026' does not exist; write a date such as 2027-01-31" in err
    assert out.startswith("2 renewals in 90 days")


def test_a_file_without_dates_of_renewal_names_the_option(run, tmp_path):
    (tmp_path / "accounts.csv").write_text(ACCOUNTS.replace("Renewal Date", "Anniversary"), encoding="utf-8")
    code, _, err = run("base", "renewals")
    assert (
        code,
        "no column of renewal-date, so no renewal is known; name it: --column renewal-date=HEADING" in err,
    ) == (
        0,
        True,
    )

    _, out, _ = run("base", "renewals", "--column", "renewal-date=Anniversary")
    assert out.startswith("3 renewals in 90 days")


# --- Churn ------------------------------------------------------------------------------------------------------


def test_churn_by_tier_against_an_earlier_export(json_of):
    """Mid-market: 1 of 3, 50,000 of 150,000; small business: 1 of 3, 30,000 of 60,000.

    An enterprise account pays 200,000 on average: as much as 4 of 50,000, or 10 of 20,000.
    """
    found = {each["tier"]: each for each in json_of("base", "churn", "--before", "earlier.csv")["tiers"]}

    assert (found["mid-market"]["lost"], found["mid-market"]["logos"], found["mid-market"]["value"]) == (
        ["b3"],
        33.3,
        33.3,
    )
    assert (found["small-business"]["logos"], found["small-business"]["value"]) == (33.3, 50)
    assert (found["enterprise"]["logos"], found["enterprise"]["value"]) == (0, 0)
    assert (found["mid-market"]["equal"], found["small-business"]["equal"]) == (4, 10)
    assert (found[None]["accounts"], found[None]["lost_pays"], found[None]["pays"]) == (10, 80_000, 610_000)


def test_churn_says_how_many_accounts_equal_one_of_the_highest_tier(run):
    assert (
        "10.0 accounts of small-business pay as much as one of enterprise"
        in run("base", "churn", "--before", "earlier.csv")[1]
    )


def test_churn_by_the_date_of_leaving(json_of, tmp_path):
    text = ACCOUNTS.replace("Last Seen", "Churned").replace(",2026-10-30,", ",2026-10-01,")
    (tmp_path / "accounts.csv").write_text(text, encoding="utf-8")
    found = {each["tier"]: each for each in json_of("base", "churn")["tiers"]}

    assert (found["freemium"]["lost"], found["freemium"]["logos"]) == (["f1", "f2"], 100)


def test_churn_without_an_earlier_export_or_dates_names_both_options(run):
    _, _, err = run("base", "churn")

    assert "no column of churned, so no account has left; compare with an earlier export: --before CSV; name it:" in err


# --- Questions and comparisons ----------------------------------------------------------------------------------


def test_the_most_and_least_successful_accounts(json_of):
    """Ranks of 6: adoption 90 is 100, NPS 60 is 100; adoption 20 is 0, NPS 10 is 20: Fir has 10."""
    groups = {each["title"]: each for each in json_of("base", "questions", "--top", "1")["groups"]}

    assert [(each["account"], each["score"]) for each in groups["most successful"]["accounts"]] == [("a1", 100)]
    assert [(each["account"], each["score"]) for each in groups["least successful"]["accounts"]] == [("c2", 10)]
    assert groups["least successful"]["unknown"] == 2


def test_the_most_difficult_and_the_easiest_accounts(json_of):
    """Six open cases are the most of 6; Dogwood and Elm share the two lowest ranks, 0 and 20."""
    groups = {each["title"]: each for each in json_of("base", "questions", "--top", "2")["groups"]}

    assert [(each["account"], each["score"]) for each in groups["most difficult"]["accounts"]] == [
        ("a2", 100),
        ("b1", 80),
    ]
    assert [(each["account"], each["score"]) for each in groups["easiest"]["accounts"]] == [("b2", 10), ("c1", 10)]
    assert "median open-cases 4 against 0" in [each["text"] for each in groups["most difficult"]["traits"]]
    assert "channel partner: 100 % against 17 %" in [each["text"] for each in groups["most difficult"]["traits"]]


def test_medians_by_channel(json_of):
    """Partners: NPS 20, -10, 30; direct: 60, 40, 10 of five accounts, two of them without an NPS."""
    (partner, direct) = sorted(
        json_of("base", "compare", "--by", "channel", "--figure", "nps", "--figure", "adoption")["by"]["channel"],
        key=lambda each: each["accounts"],
    )

    assert (partner["value"], partner["accounts"], partner["medians"]) == ("partner", 3, {"nps": 20, "adoption": 50})
    assert (direct["accounts"], direct["medians"], direct["known"]["nps"]) == (5, {"nps": 40, "adoption": 70}, 3)
    assert (partner["pays"], direct["pays"]) == (150_000, 380_000)


def test_a_word_that_no_account_has_names_the_option(run):
    _, _, err = run("base", "compare", "--by", "region")

    assert "no column of region, so nothing is compared by it; name it: --column region=HEADING" in err


# --- Money ------------------------------------------------------------------------------------------------------


SERVICES = """
policy: {version: 1}
assignment:
  binding: annual-value
  criteria: {annual-value: {kind: amount, attributes: [arr], least: 0}}
  rules: [{tier: mid-market, when: {annual-value: {from: 25000}}}, {tier: freemium}]
tiers:
  mid-market: {rank: 2, values: {segment: {service-budget: 9000}}}
  freemium: {rank: 1, values: {segment: {service-budget: 300}}}
services:
  against: annual-value
  margin: 0.3
  over: 20
  catalogue:
    review: {name: Review, about: A review, cost: 1000}
    mails: {name: Mails, about: Mails, cost: 10}
  variants:
    usual:
      mid-market: {review: quarterly, mails: monthly}
      freemium: {mails: monthly}
"""


@pytest.fixture
def money(run, monkeypatch, tmp_path):
    """Return a function that runs `base money` on two mid-market and two freemium accounts, with known costs."""
    (tmp_path / "policy.yaml").write_text(SERVICES, encoding="utf-8")
    monkeypatch.setenv("ENTITLEMENTS_POLICY", str(tmp_path / "policy.yaml"))
    rows = [line for line in ACCOUNTS.splitlines() if line.startswith(("Account", "b", "f"))]
    (tmp_path / "accounts.csv").write_text("\n".join(rows), encoding="utf-8")
    return lambda *argv: run("base", "money", *argv)


def test_profit_is_what_a_tier_pays_less_what_serving_it_costs(money):
    """
    Two mid-market accounts pay 40,000 and 60,000 and cost 4 * 1,000 + 12 * 10 = 4,120 each: 8,240 of a budget of
    9,000. Two freemium accounts pay nothing and cost 120 each: 240 of 300. Worth is a mark-up of 30 %.
    """
    tiers = json.loads(money("--json")[1])["tiers"]

    assert [(each["tier"], each["pays"], each["cost"], each["profit"], each["left"]) for each in tiers] == [
        ("mid-market", 100_000, 8_240, 91_760, 760),
        ("freemium", 0, 240, -240, 60),
        (None, 100_000, 8_480, 91_520, 820),
    ]
    assert [(each["margin"], each["value"]) for each in tiers[:2]] == [(91.8, 10_712), (None, 312)]


def test_the_price_of_one_service_more_and_the_tiers_that_pay_for_it(money):
    """A fifth of 100,000 is 20,000: mid-market pays for two reviews more (10,240), freemium for nothing."""
    services = json.loads(money("--json")[1])["services"]

    assert [(each["service"], each["price"], each["qualified"]) for each in services] == [
        ("review", 1_300, ["mid-market"]),
        ("mails", 13, ["mid-market"]),
    ]


def test_an_exceeded_budget_exits_with_1(money, tmp_path):
    assert money()[0] == 0

    (tmp_path / "policy.yaml").write_text(
        SERVICES.replace("service-budget: 9000", "service-budget: 8000"), encoding="utf-8"
    )
    assert money()[0] == 1


def test_a_policy_without_budgets_says_where_to_write_one(money, tmp_path):
    text = SERVICES.replace("service-budget", "other-budget")
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")

    assert "no tier has a budget; write segment.service-budget in the policy" in money()[2]


# --- Abandonment ------------------------------------------------------------------------------------------------


def test_who_has_gone_quiet_and_before_which_step(json_of):
    """Hazel was last seen on 1 August, 93 days before; Gum's last month with leads is September, seen on 30 October."""
    found = json_of("base", "abandoned", "--usage", "measures.csv", "--step", "invited", "--step", "first-lead")

    assert [(each["account"], each["days"], each["step"]) for each in found["quiet"]] == [("f2", 93, "first-lead")]
    assert found["steps"] == {"first-lead": 1}


def test_accounts_whose_activity_is_unknown_are_named(json_of, tmp_path):
    (tmp_path / "accounts.csv").write_text(ACCOUNTS.replace("Last Seen", "Other"), encoding="utf-8")

    assert json_of("base", "abandoned")["unknown"] == ["f1", "f2"]


# --- Health -----------------------------------------------------------------------------------------------------


def test_health_of_the_base_from_measures(json_of):
    """
    Cedar: engagement (10 of 20 log-ins, 40 of 80 %) is 50, success (80 and 60) 70, satisfaction 2 of 4 and 90 of 200,
    so (50 + 45) / 2 = 47.5, financial 30 of 60 days late, 50: 0.3 * 50 + 0.3 * 70 + 0.2 * 47.5 + 0.2 * 50 = 55.5.
    Three months before: 100, 100, (100 + 75) / 2 = 87.5, 100: 97.5, a fall by 42.
    Dogwood: 100, 100, (100 + 80) / 2 = 90, 100: 98.
    """
    found = {each["health"]["account"]: each for each in json_of("health", "--usage", "measures.csv")["accounts"]}

    assert (found["b1"]["health"]["score"], found["b1"]["before"], found["b1"]["trend"]) == (55.5, 97.5, -42)
    assert {each["name"]: each["score"] for each in found["b1"]["health"]["components"]} == {
        "engagement": 50,
        "success": 70,
        "satisfaction": 47.5,
        "financial": 50,
    }
    assert found["b1"]["because"] == ["health 55.5 is below 70", "health fell by 42.0, from 97.5 to 55.5"]
    assert (found["b2"]["health"]["score"], found["b2"]["risk"]) == (98, "low")
    assert found["a1"]["risk"] == "unknown"
    assert "f1" not in found


def test_the_highest_risk_comes_first_and_missing_measures_are_named(run):
    code, out, err = run("health", "--usage", "measures.csv")
    rows = [line for line in words(out) if line.startswith(("b1", "b2", "a1"))]

    assert (code, rows[0]) == (
        0,
        "b1 Cedar mid-market 55.5 -42.0 medium health 55.5 is below 70; health fell by 42.0, from 97.5 to 55.5",
    )
    assert (
        "a1 Alder enterprise ? unknown its renewal is due in 29 days; not measured: success, engagement, financial"
        in rows
    )
    assert "no account has the measure expansion, so health is computed without it" in err


def test_health_of_one_account_shows_its_measures(run):
    code, out, _ = run("health", "b2", "--usage", "measures.csv")

    assert (code, words(out)[0]) == (0, "b2, on tier mid-market: health 98.0 of 100")
    assert "80.0 nps 60" in words(out)


def test_a_measure_out_of_range_counts_as_the_end_of_its_scale_and_one_that_is_no_number_is_told(run, tmp_path):
    text = MEASURES.replace("b2,2026-10,500,20", "b2,2026-10,500,200").replace("b1,2026-10,0,10", "b1,2026-10,0,ten")
    (tmp_path / "measures.csv").write_text(text, encoding="utf-8")
    code, out, err = run("health", "--usage", "measures.csv")

    assert code == 1
    assert "measures.csv:2: logins: 'ten' is not a number" in err
    assert any(line.startswith("b2 Dogwood mid-market 98.0") for line in words(out))


# --- Uptime, trials, conversion -----------------------------------------------------------------------------------


def test_a_missed_uptime_is_a_credit(run):
    """99.2 % is below 99.5 %: half of 25,000."""
    code, out, _ = run("uptime", "a1", "99.2", "--fee", "25000")

    assert (code, out.splitlines()[-1]) == (1, "measured 99.2 %: a credit of 50 % of the fee, 12,500.00")
    assert run("uptime", "a1", "99.99", "--fee", "25000")[0] == 0
    assert run("uptime", "f1")[0] == 1


def test_an_uptime_that_cannot_be_is_refused(run):
    code, _, err = run("uptime", "a1", "101")

    assert (code, "measured uptime '101' must be a number from 0 to 100" in err) == (2, True)


def test_trials_with_the_days_that_are_left(run, tmp_path):
    (tmp_path / "accounts.csv").write_text(
        "Account ID,Tier,Trial Starts,Trial Ends\nt1,trial,2026-10-20,2026-11-05\nt2,trial,2026-09-01,2026-09-20\n",
        encoding="utf-8",
    )
    code, out, _ = run("trials")

    assert code == 0
    assert "t1 trial running 2026-11-05 00:00 UTC 3 freemium" in words(out)
    assert "t2 trial over 2026-09-20 00:00 UTC 0 freemium" in words(out)


JOURNEYS = """account,plan,started,activated,converted,features,left-at
j1,trial,2026-01-01,2026-01-02,2026-01-10,leads;routing,
j2,trial,2026-01-01,,,leads,import
j3,freemium,2026-01-01,2026-01-05,,,import
j4,freemium,2026-01-01,2026-01-05,2026-03-01,leads,
"""


def test_conversion_from_a_file_of_journeys(run, tmp_path):
    """1 of 2 trials and 1 of 2 free accounts converted, 3 of 4 activated, 3 of 4 used leads."""
    (tmp_path / "journeys.csv").write_text(JOURNEYS, encoding="utf-8")
    code, out, err = run("conversion", "journeys.csv", base=False)

    assert code == 0
    assert words(out)[:5] == [
        "accounts 4",
        "trial sign-ups 2",
        "trial to paid 50.0 %",
        "freemium to paid 50.0 %",
        "activation 75.0 %",
    ]
    assert {"features used leads: 75.0 %", "stopped at import: 2"} <= set(words(out))
    assert "no column of last_seen, so it counts as never; name it: --column last_seen=HEADING" in err


def test_journeys_that_cannot_be_are_told_by_row_and_field_and_the_others_count(run, tmp_path):
    text = JOURNEYS.replace("j2,trial,2026-01-01", "j2,trial,2026-02-30").replace("j3,freemium", "j3,premium")
    (tmp_path / "journeys.csv").write_text(text, encoding="utf-8")
    code, out, err = run("conversion", "journeys.csv", base=False)

    assert (code, words(out)[0]) == (1, "accounts 2")
    assert "journeys.csv:3: started: '2026-02-30' does not exist" in err
    assert "account 'j3': plan 'premium' is no tier" in err
