"""Statements and round trips of each page: as many for one account as for many."""

import pytest
from console_site import SIGNED, hidden
from sql_sources import statements_of

MOST = {
    "": 2, "account": 1, "account/meters": 1, "account/preview": 1, "account/change": 1, "account/audit": 2,
    "plans": 0, "refusals": 0,
}  # fmt: skip
"""Statements of each page: a bound of what it costs, whatever the number of accounts."""


@pytest.fixture
def big(sql_site):
    for number in range(20):
        sql_site.accounts.create(f"z{number}", "pro", **SIGNED)
    return sql_site


def test_each_page_takes_a_bounded_number_of_statements(big):
    big.accounts.grant("petra", "leads", 5, **SIGNED)
    for page in MOST:
        big.get(page, id="petra", tier="free" if page.endswith("preview") else "pro")
    seen = statements_of(big.accounts._engine)
    taken = {}
    for page in MOST:
        seen.clear()
        answer = big.get(page, id="petra", tier="free" if page.endswith("preview") else "pro")
        assert 200 == answer.status_code
        taken[page] = len([each for each in seen if not each.startswith(("PRAGMA", "BEGIN"))])

    assert MOST == taken


def test_the_audit_is_read_page_by_page(site):
    for number in range(60):
        site.accounts.grant("petra", "leads", number + 1, reason=f"reason-{number}", author="ops")
    newest = site.get("account/audit", id="petra")
    older = site.get("account/audit", id="petra", before="12")

    assert 50 == newest.text.count("<time ")
    assert "before=12" in newest.text
    assert ("reason-10" in newest.text, "reason-10" in older.text, "reason-9" in older.text) == (True, False, True)
    assert 11 == older.text.count("<time ")
    assert 400 == site.get("account/audit", id="petra", before="x").status_code


def test_a_change_takes_a_bounded_number_of_statements(big):
    form = big.form("grant", limit="leads", amount="5")
    seen = statements_of(big.accounts._engine)
    shown = big.post("account/change/preview", form)
    previewed = len(seen)
    seen.clear()
    done = big.post("account/change/confirm", hidden(shown))

    assert (200, 303) == (shown.status_code, done.status_code)
    assert (previewed, len(seen)) <= (10, 10)
