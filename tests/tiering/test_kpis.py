"""The KPIs that a tier tracks, from the columns of a base: figures by hand."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from entitlements import Account, Policy
from entitlements.cli import main
from entitlements.tiering.base.kpis import kpi_columns, tier_kpis
from entitlements.tiering.base.rows import read_base
from entitlements.tiering.health import health_faults

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "policies" / "customer-tiers"
POLICY = Policy.load(PATH)


def account(id, tier, **figures):
    attributes = {"annual-value": 0, **{name.replace("_", "-"): value for name, value in figures.items()}}
    return Account(id, tier, attributes=attributes)


BASE = [
    account(
        "a", "enterprise", leads_per_month=12_000, converted_leads=3_000, agents=150, response_hours="1.5",
        revenue="$900,000", cost_savings=40_000, adoption=80, feature_usage=60, csat="4.5", nps=50,
    ),
    account("b", "enterprise", leads_per_month=20_000, converted_leads=2_500, agents=400, response_hours=3, nps=-10),
    account("c", "enterprise", conversion_rate="30 %", agents=100),
    account("d", "mid-market", leads_per_month=0, converted_leads=0, agents=20, revenue=70_000),
    account("e", "small-business", leads_per_month=300, converted_leads=45, feature_usage=35),
    account("f", "freemium"),
]  # fmt: skip


@pytest.fixture(scope="module")
def found():
    base = read_base(POLICY, BASE, now=0, measures=kpi_columns(POLICY))
    assert base.faults == ()
    return {(each.tier, each.kpi): each for each in tier_kpis(POLICY, base)}


@pytest.mark.parametrize(
    ("tier", "kpi", "middle", "known"),
    [
        ("enterprise", "Lead volume and quality", "12000", 2),
        ("enterprise", "Conversion rates", "25.0", 3),  # 3,000 of 12,000 = 25 %, 2,500 of 20,000 = 12.5 %, and 30 %
        ("enterprise", "Agent performance", "50.0", 2),  # 12,000 by 150 = 80 and 20,000 by 400 = 50: the lower
        ("enterprise", "Response times", "1.5", 2),
        ("enterprise", "Revenue generated", "900000", 1),
        ("enterprise", "Cost savings", "40000", 1),
        ("enterprise", "User adoption", "80", 1),
        ("enterprise", "Feature usage", "60", 1),
        ("enterprise", "Support satisfaction", "4.5", 1),
        ("enterprise", "NPS score", "-10", 2),
        ("mid-market", "Conversion rates", None, 0),  # no leads: nothing was measured
        ("mid-market", "Agent performance", "0.0", 1),
        ("mid-market", "Revenue generated", "70000", 1),
        ("mid-market", "Response times", None, 0),
        ("mid-market", "Feature usage", None, 0),
        ("small-business", "Basic conversion rates", "15.0", 1),  # 45 of 300
        ("small-business", "Feature usage", "35", 1),
    ],
)
def test_each_kpi_is_its_column_or_the_quotient_of_two(found, tier, kpi, middle, known):
    each = found[tier, kpi]

    assert (each.middle, each.known) == (None if middle is None else Decimal(middle), known)


def test_every_kpi_of_the_policy_has_a_measure_and_tiers_without_kpis_have_none(found):
    tracked = [(tier, kpi) for tier, each in POLICY.tiers.items() for kpi in each.values.get("kpis") or ()]

    assert sorted(tracked) == sorted(found)
    assert len(found) == 10 + 9 + 5
    assert all(each.columns for each in found.values())


def test_the_command_shows_the_change_since_an_earlier_month_and_names_missing_columns(tmp_path, capsys):
    (tmp_path / "accounts.csv").write_text("id,tier,agents\na,small-business,4\nb,small-business,5\n", encoding="utf-8")
    (tmp_path / "usage.csv").write_text(
        "account,month,csat,feature-usage\na,2026-10,4,50\na,2026-07,3,50\nb,2026-10,5,\n", encoding="utf-8"
    )
    files = ["--accounts", str(tmp_path / "accounts.csv"), "--usage", str(tmp_path / "usage.csv")]
    code = main(["base", "kpis", "--policy", str(PATH), "--at", "2026-11-02T09:00Z", *files, "--json"])
    told = json.loads(capsys.readouterr().out)
    kpis = {each["kpi"]: (each["middle"], each["before"], each["known"]) for each in told["kpis"]}

    assert code == 0
    assert kpis["Support satisfaction"] == (4, 3, 2)
    assert kpis["Feature usage"] == (50, 50, 1)
    assert any("'Basic conversion rates'; name its column: --column conversion-rate=" in e for e in told["remarks"])


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("ratio", ("converted-leads",), "is not two columns"),
        ("times", "a hundred", "is not a number"),
        ("column", (), "is not a column"),
        ("colum", "csat", "'colum' is no part of the measure of a KPI"),
    ],
)
def test_a_measure_that_cannot_be_read_is_a_fault_of_the_policy(key, value, problem):
    faults = list(health_faults({f"kpi-measures.nps-score.{key}": value}))

    assert [problem in each.problem for each in faults] == [True]
