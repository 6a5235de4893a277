"""The pages of the console, by a real server: what they show of accounts in databases, files and other sources."""

import contextlib
import re
from datetime import timedelta
from html import unescape

import httpx
import pytest
from console_site import SIGNED, text_of
from sqlalchemy import text as sql
from trade import START, policy
from webserver import serving

from entitlements import Account, AsyncEnforcer, Enforcer, Trial
from entitlements.accounts.sql import SqlAccounts
from entitlements.console import Console, RecentRefusals
from entitlements.testing import FakeClock


def test_every_page_of_every_kind_of_console(any_site):
    any_site.accounts.grant("petra", "leads", 500, **SIGNED)

    assert "petra Pro" not in text_of(any_site.get(prefix="x"))
    assert "petra pro active 1 grant" in text_of(any_site.get(prefix="pet"))
    assert "leads 510 per month grant:leads Sources of leads" in text_of(any_site.get("account", id="petra"))
    assert "leads 0 of 510 per month" in text_of(any_site.get("account/meters", id="petra"))
    assert "pro to free: downgrade" in text_of(any_site.get("account/preview", id="petra", tier="free"))
    assert "Grant Add units of a limit" in text_of(any_site.get("account/change", id="petra"))
    assert "grant signed up" in text_of(any_site.get("account/audit", id="petra"))
    assert "max max pro pro free free" in text_of(any_site.get("plans"))
    assert "Nothing was refused" in text_of(any_site.get("refusals"))


def test_the_trace_names_every_source_with_its_verdict(site):
    site.accounts.override("petra", "agents", 40, **SIGNED)
    site.accounts.grant("petra", "agents", 2, **SIGNED)
    site.accounts.add_on("petra", "phone", **SIGNED)
    text = text_of(site.get("account", id="petra"))

    trace = "Considered Says Verdict grant:agents signed up +2 lost override:agents signed up, by ops 40 won tier:pro 3 lost"
    assert f"agents 40 override:agents Sources of agents {trace}" in text
    assert "sso Single sign-on yes add-on:phone" in text
    assert "reports none &lt; " not in text
    assert "reports basic tier:pro" in text
    assert (
        "support.phone always add-on:phone Sources of support.phone Considered Says Verdict add-on:phone quantity 1 always"
        in text
    )


def test_a_refusal_names_its_remedy(site):
    assert "tier 'max' or add-on 'phone' has it" not in text_of(site.get("account", id="petra", find="chat"))
    assert "tier max or add-on phone has it" in text_of(site.get("account", id="petra", find="sso"))


def test_a_missing_commitment_is_shown_by_its_label(site):
    assert "support.response best effort tier:free" in text_of(site.get("account", id="frida", find="response"))


def test_names_are_found_by_a_part(site):
    text = text_of(site.get("account", id="petra", find="AGENT"))

    assert "agents 3 tier:pro" in text
    assert "leads" not in text
    assert "No name contains" in text_of(site.get("account", id="petra", find="nothing"))


def test_accounts_are_listed_page_by_page(site):
    for number in range(120):
        site.accounts.create(f"a{number:03}", "free", **SIGNED)
    first = site.get(prefix="a")
    second = site.get(prefix="a", after="a049")
    third = site.get(prefix="a", after="a099")

    assert ">a000<" in first.text
    assert ">a049<" in first.text
    assert ">a050<" not in first.text
    assert "after=a049" in first.text
    assert ">a050<" in second.text
    assert ">a099<" in second.text
    assert "after=a099" in second.text
    assert ">a119<" in third.text
    assert "Next page" not in third.text


def test_accounts_are_found_by_their_tier(site):
    text = text_of(site.get(tier="pro"))

    assert ("petra" in text, "frida" in text) == (True, False)


def test_the_case_and_the_wildcards_of_a_prefix_are_letters(sql_site):
    for id in ("A%b", "A_b", "a\\b", "AXb"):
        sql_site.accounts.create(id, "free", **SIGNED)

    assert {"A%b", "A_b", "AXb"} == shown_ids(sql_site.get(prefix="A"))
    assert {"A%b"} == shown_ids(sql_site.get(prefix="A%"))
    assert {"A_b"} == shown_ids(sql_site.get(prefix="A_"))
    assert {"a\\b"} == shown_ids(sql_site.get(prefix="a\\"))


def shown_ids(response):
    return {
        unescape(each)
        for each in re.findall(r'<a href="(?:/entitlements)?/account\?id=[^"]*">([^<]+)</a>', response.text)
    }


def test_ids_of_all_characters_have_pages(site):
    ids = ["a/b", "..", "a b?&=#", "ü\N{SNOWMAN}", "+%2F", "<b>"]
    for id in ids:
        site.accounts.create(id, "pro", **SIGNED)

    for id in ids:
        assert 200 == site.get("account", id=id).status_code
        assert 303 == site.change("grant", id, limit="leads", amount="1").status_code
        assert "grant" == site.row(id).action


def test_a_trial_a_suspension_and_a_scheduled_change_are_told(site):
    now = site.accounts.audit("petra")[0].at
    site.accounts.create(Account("tria", "free", trial=Trial("pro", None, now + timedelta(days=9))), **SIGNED)
    site.accounts.set_tier("petra", "max", at=now + timedelta(days=30), **SIGNED)
    site.accounts.suspend("maxim", **SIGNED)

    assert "trial of pro until" in text_of(site.get(prefix="tria"))
    assert "max from" in text_of(site.get("account", id="petra"))
    assert "the next change is due" in text_of(site.get("account", id="petra"))
    assert "Every charge is refused now: suspended." in text_of(site.get("account", id="maxim"))


def test_an_account_whose_rows_are_damaged_is_listed_with_its_problem(site):
    with site.accounts._engine.begin() as connection:
        connection.execute(sql("update entitlements_accounts set status = 'odd' where id = 'petra'"))

    assert "status" in text_of(site.get(prefix="petra"))
    assert 422 == site.get("account", id="petra").status_code


def test_meters_have_a_history_of_bars_and_a_table(tmp_path):
    clock = FakeClock(START)
    refusals = RecentRefusals()
    with Enforcer(policy(), accounts={"petra": "pro"}, clock=clock, hooks=[refusals]) as enforcer:
        for used in (4, 10, 7):
            for _ in range(used + 1):
                enforcer.consume("petra", "leads")
            clock.advance(timedelta(days=31))
        enforcer.consume("petra", "leads", 9)
        enforcer.assign("petra", "agents", "ann")
        with serving_console(enforcer, {"petra": "pro"}) as client:
            page = client.get("/account/meters", params={"id": "petra"})

    text = text_of(page)
    assert "leads 9 of 10 per month" in text
    assert "90 % used, 1 left" in text
    assert "4 periods From Used Refused Limit 2026-06-01 9 0 10 per month 2026-05-01 8 0 10 per month" in text
    assert 4 == page.text.count("<g><title>")
    assert "agents 1 of 3" in text


def test_meters_of_a_scope(site):
    site.enforcer.consume("petra", "per-ip", scope="10.0.0.1")
    page = site.get("account/meters", id="petra", scope="10.0.0.1")

    assert "per-ip 1 of 2 per minute" in text_of(page)
    assert '<option value="10.0.0.1">' in page.text
    assert 400 == site.get("account/meters", id="petra", scope="a\x01").status_code


def test_the_preview_of_a_tier_shows_what_is_over_and_stores_nothing(site):
    site.enforcer.consume("petra", "leads", 8)
    text = text_of(site.get("account/preview", id="petra", tier="free"))

    assert "More is in use than the new tier has" in text
    assert "leads 10 per month 3 per month" in text
    assert 1 == site.accounts.version("petra")
    assert 400 == site.get("account/preview", id="petra", tier="nothing").status_code


def test_refusals_are_shown_as_they_come_and_by_account(site):
    site.enforcer.consume("petra", "leads", 8)
    site.enforcer.consume("petra", "leads", 8)
    site.enforcer.can("frida", "sso")
    text = text_of(site.get("refusals"))

    assert "frida can sso not included" in text
    assert "petra consume leads quota exceeded tier max has it" in text
    assert text.index("frida can") < text.index("petra consume")
    assert "petra" not in text_of(site.get("refusals", account="frida"))


def test_looking_at_an_account_is_no_decision_of_the_application(site):
    site.get("account", id="frida")
    site.get("account/meters", id="frida")
    site.get("account/preview", id="frida", tier="pro")

    assert [] == site.refusals.recent()


def test_only_so_many_refusals_are_kept():
    refusals = RecentRefusals(3)
    with Enforcer(policy(), accounts={"frida": "free"}, hooks=[refusals]) as enforcer:
        for name in ("sso", "chat", "fixed", "bucket"):
            enforcer.can("frida", name)

    assert ["bucket", "fixed", "chat"] == [each.decision.feature for each in refusals.recent()]
    with pytest.raises(ValueError, match="size 0 must be an int from 1"):
        RecentRefusals(0)


def test_a_console_without_the_hook_says_how_to_record(tmp_path):
    with Enforcer(policy()) as enforcer, serving_console(enforcer, {"petra": "pro"}) as client:
        assert "Nothing is recorded." in text_of(client.get("/refusals"))


class OnlyFinds:
    def find(self, id):
        return Account(id, "pro") if id == "petra" else None


class OnlyFindsAsync:
    async def find(self, id):
        return Account(id, "pro") if id == "petra" else None


@pytest.mark.parametrize("is_async", [False, True])
def test_sources_that_are_only_read_show_accounts_and_say_why_they_change_none(tmp_path, is_async):
    (tmp_path / "accounts.csv").write_text("id,tier\npetra,pro\nfrida,free\npeter,max\n", encoding="utf-8")
    sources = {
        "a CSV file": str(tmp_path / "accounts.csv"), "a mapping": {"petra": "pro", "frida": "free", "peter": "max"},
        "a OnlyFinds": OnlyFinds(), "a OnlyFindsAsync": OnlyFindsAsync(),
    }  # fmt: skip
    for kind, source in [*sources.items()][:: 2 if is_async else 1]:
        enforcer = (AsyncEnforcer if is_async else Enforcer)(policy())
        with serving_console(enforcer, source, authorise=lambda _: "write") as client:
            assert "petra" in text_of(client.get("/", params={"prefix": "petra"}))
            assert "agents 3 tier:pro" in text_of(client.get("/account", params={"id": "petra"}))
            refused = client.post(
                "/account/change/preview",
                content="id=petra&verb=suspend",
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
            told = text_of(client.get("/account/change", params={"id": "petra"}))
            assert f"Accounts come from {kind}, which the console only reads" in told
            assert "Grant" not in told
            assert (403, True) == (refused.status_code, kind in refused.text)
            assert 404 == client.get("/account", params={"id": "nobody"}).status_code
            assert "There is no audit here." in text_of(client.get("/account/audit", params={"id": "petra"}))
            if "OnlyFinds" in kind:
                assert "Whole id" in text_of(client.get("/"))
            else:
                assert {"petra", "peter"} == shown_ids(client.get("/", params={"prefix": "pe"}))
                assert {"petra"} == shown_ids(client.get("/", params={"tier": "pro"}))


def test_a_file_is_read_under_the_policy_in_force(tmp_path):
    (tmp_path / "accounts.csv").write_text("id,tier,add_ons\npetra,pro,phone\n", encoding="utf-8")
    with Enforcer(policy()) as enforcer, serving_console(enforcer, str(tmp_path / "accounts.csv")) as client:
        assert 200 == client.get("/account", params={"id": "petra"}).status_code
        enforcer.reload(policy(add_ons={}))
        assert 404 == client.get("/account", params={"id": "petra"}).status_code


def test_a_query_of_the_application_is_only_read(site):
    source = SqlAccounts(site.accounts._engine, query="select id, tier from entitlements_accounts where id = :id")
    with Enforcer(policy()) as enforcer, serving_console(enforcer, source, authorise=lambda _: "write") as client:
        assert "petra" in text_of(client.get("/", params={"prefix": "petra"}))
        assert "a query of the application" in text_of(client.get("/account/change", params={"id": "petra"}))


def test_a_console_without_accounts_says_so():
    with Enforcer(policy()) as enforcer, serving_console(enforcer, None) as client:
        assert "These accounts cannot be listed." in text_of(client.get("/"))
        assert 404 == client.get("/account", params={"id": "petra"}).status_code
    with pytest.raises(TypeError, match="the path of a CSV, the URL of a database, or an object with find"):
        Console(enforcer, 5)


def test_a_store_that_is_away_is_told(tmp_path):
    accounts = {"petra": "pro"}
    with Enforcer(policy(), store="redis://127.0.0.1:1") as enforcer, serving_console(enforcer, accounts) as client:
        page = client.get("/account/meters", params={"id": "petra"})
        assert 503 == page.status_code
        assert "redis://127.0.0.1:1" in text_of(page)
        assert 200 == client.get("/account", params={"id": "petra"}).status_code


def test_a_database_that_is_away_is_told_without_its_password(tmp_path):
    source = SqlAccounts("postgresql+psycopg://app:secret-word@127.0.0.1:1/shop")
    with Enforcer(policy()) as enforcer, serving_console(enforcer, source) as client:
        page = client.get("/")
    source.close_engine()
    assert 503 == page.status_code
    assert "secret-word" not in page.text


@contextlib.contextmanager
def serving_console(enforcer, accounts, **options):
    """Serve a console by itself; yield a client of it."""
    with serving(Console(enforcer, accounts, **options)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client
