"""Numbers of the example bases, recomputed by hand or with the `csv` module alone."""

import csv
import re
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from entitlements import Account, CsvAccounts, Policy
from entitlements.model.instants import to_instant
from entitlements.tiering.capacity import capacity
from entitlements.tiering.due_lists import due_list
from entitlements.tiering.quotes import quote
from entitlements.tiering.segmentation import segment
from entitlements.tiering.service_costs import serve, serve_base

ROOT = Path(__file__).resolve().parents[2]
POLICY = Policy.load(ROOT / "policies" / "customer-tiers")
NOW = to_instant(datetime(2026, 11, 2, 12, tzinfo=UTC))
TIERS = ("enterprise", "mid-market", "small-business", "freemium")


@pytest.fixture(scope="module")
def portfolio():
    return CsvAccounts(ROOT / "examples" / "portfolio" / "accounts.csv", id="Account ID", policy=POLICY)


@pytest.fixture(scope="module")
def rows():
    text = (ROOT / "examples" / "portfolio" / "accounts.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def paid(row):
    """Return what a row pays; 0 for one of the four that cannot be read."""
    text = re.sub(r"[$,]", "", row["Annual Value"]).strip()
    return int(text) if text.isdigit() else 0


def test_300_accounts_pay_6_3_million_a_year(portfolio, rows):
    """14 + 52 + 122 + 112 accounts pay 2,679,000 + 2,266,000 + 1,316,100 + 39,910 = 6,301,010: 42.5, 36.0, 20.9 and 0.6 %."""
    counted = [[paid(row) for row in rows if row["Tier"] == tier] for tier in TIERS]
    found = serve_base(POLICY, portfolio, now=NOW)
    groups = {each.tier: each for each in found.tiers}
    shares = [groups[tier].against * 100 / found.whole.against for tier in TIERS]

    assert [14, 52, 122, 112] == [len(each) for each in counted] == [groups[tier].accounts for tier in TIERS]
    assert [2_679_000, 2_266_000, 1_316_100, 39_910] == [sum(each) for each in counted]
    assert [sum(each) for each in counted] == [groups[tier].against for tier in TIERS]
    assert 6_301_010 == found.whole.against
    assert ["42.5", "36.0", "20.9", "0.6"] == [str(round(share, 1)) for share in shares]


@pytest.mark.parametrize(
    ("tier", "cost"),
    [
        # 2x1500 4x1200 12x60 12x250 12x400 12x40 4x45 4x150 2x350 2x900 180 2x220 12x50 4x120 800
        ("enterprise", 3000 + 4800 + 720 + 3000 + 4800 + 480 + 180 + 600 + 700 + 1800 + 180 + 440 + 600 + 480 + 800),
        ("mid-market", 240 + 3000 + 160 + 90 + 350 + 180 + 220 + 240 + 8),  # 4x60 12x250 4x40 2x45 350 180 220 2x120 8
        ("small-business", 80 + 45 + 350 + 180 + 120 + 8 + 15 + 18),  # 2x40 45 350 180 120 8 15 12x1.50
        ("freemium", 12 + 2 + 8 + 15 + 6 + 3 + 18 + 6),  # 12 2 8 15 6 3 12x1.50 4x1.50
    ],
)
def test_serving_one_account_for_a_year(tier, cost):
    """22,580, 4,488, 816 and 70."""
    account = Account("one", tier, attributes={"annual-value": 100_000})

    assert cost == serve(POLICY, account, now=NOW).cost
    assert {"enterprise": 22_580, "mid-market": 4_488, "small-business": 816, "freemium": 70}[tier] == cost


def test_the_division_by_share_of_the_portfolio(portfolio, rows):
    """15 % of 6,301,010 is 945,152, 55 % 3,465,556, 95 % 5,985,960: an account belongs where its share begins."""
    total, begun, tiers = 6_301_010, 0, {}
    amounts = sorted((paid(row) for row in rows if row["Annual Value"].strip("$,0123456789") == ""), reverse=True)
    for amount in dict.fromkeys(amounts):
        cut = next(tier for tier, end in zip(TIERS, (15, 55, 95, 101), strict=True) if begun * 100 < end * total)
        tiers.setdefault(cut, []).extend([amount] * amounts.count(amount))
        begun += amount * amounts.count(amount)
    counts = Counter(each.tier for each in segment(POLICY, portfolio, by="arr-share"))

    assert [3, 21, 119] == [counts[tier] for tier in TIERS[:3]] == [len(tiers[tier]) for tier in TIERS[:3]]
    assert [280_000, 51_000, 8_000] == [min(tiers[tier]) for tier in TIERS[:3]]


def test_people_hours_and_prices_of_the_portfolio(portfolio):
    """
    Managers 14/1 + 52/5 + 122/20: 14 + 11 + 7 = 32. Hours 14 x 50 + 52 x 15 + 122 x 5 = 700 + 780 + 610 = 2,090. AC-1014
    pays 50,000: premium support is 25 %, 12,500; two reports 400; tier 1 costs it 50,000 more, and 20 % of that is 20,000.
    """
    people = capacity(POLICY, portfolio, now=NOW)
    account = portfolio.find("AC-1014")
    here = quote(POLICY, account, {"premium-support": 1, "custom-reports": 2}, now=NOW)
    there = quote(POLICY, account, {"premium-support": 1}, now=NOW, to="enterprise")

    assert ([14, 11, 7, 0], 32) == ([each.csms for each in people.tiers], people.csms)
    assert ([700, 780, 610, 0], 2_090) == ([each.meeting_hours for each in people.tiers], people.meeting_hours)
    assert (Decimal(12_500), 400) == (here.yearly, here.once)
    assert 50_000 + 20_000 == there.yearly


def test_november_of_an_example_account():
    """
    harborwick, tier 1 since 2026-09-15, a Tuesday: check-ins on the Tuesdays 3, 10, 17 and 24 November; the second month
    ends on Sunday the 15th, so the business review is on Monday the 16th; onboarding ended 45 days after the start, on 30
    October. The renewal of 2027-09-15 has its last day of notice 90 days before: 2027-06-17.
    """
    accounts = CsvAccounts(ROOT / "examples" / "accounts.csv", policy=POLICY)
    harborwick = [accounts.find("harborwick")]
    november = due_list(POLICY, harborwick, date(2026, 11, 1), date(2026, 12, 1), zones=ZoneInfo).items
    year = due_list(POLICY, harborwick, date(2026, 10, 1), date(2027, 10, 1), zones=ZoneInfo).items

    assert [3, 10, 17, 24] == [each.date.day for each in november if each.name == "Tactical check-in"]
    assert [16] == [each.date.day for each in november if each.name == "Business review"]
    assert ["2026-10-30", "2027-06-17", "2027-09-15"] == [
        str(each.date) for each in year if each.kind in {"onboarding", "notice", "renewal"}
    ]
    assert 52 == sum(each.name == "Tactical check-in" for each in year)
