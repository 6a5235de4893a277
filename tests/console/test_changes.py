"""Changes in the console: each is shown as it will act, made once it is confirmed, and refused with the reason before."""

from pathlib import Path

import pytest
from console_site import ConsoleSite, hidden, text_of
from trade import policy

from entitlements import Enforcer, Policy
from entitlements.console import Access, Console

CHANGES = [
    ("set_tier", {"tier": "max"}, "tier pro max", "sso not included yes gained", lambda found: found.tier == "max"),
    ("grant", {"limit": "leads", "amount": "500", "expires": "2030-01-31"}, "grants none leads, amount 500, expires 2030-01-31 00:00 UTC, reason promised", "leads 10 per month 510 per month gained", lambda found: found.grants[0].amount == 500),
    ("override", {"name": "reports", "value": "full"}, "overrides none reports, value full, reason promised, author ann", "reports basic full gained", lambda found: found.overrides[0].value == "full"),
    ("add_on", {"name": "more-agents", "quantity": "2"}, "add ons none more-agents: 2", "agents 3 7 gained", lambda found: found.add_ons == {"more-agents": 2}),
    ("set_trial", {"tier": "max", "ends": "2030-01-31 09:30"}, "trial none max", "sso not included yes gained", lambda found: found.trial.tier == "max"),
    ("suspend", {}, "status active suspended", "chat yes not included lost", lambda found: found.status == "suspended"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "fields", "part", "effect", "is_made"), CHANGES, ids=[each[0] for each in CHANGES])
def test_a_change_is_shown_first_and_made_then(site, verb, fields, part, effect, is_made):
    shown = site.preview(verb, **fields)
    text = text_of(shown)

    assert (200, 1) == (shown.status_code, site.accounts.version("petra"))
    assert "Nothing is stored yet." in text
    assert part in text
    assert effect in text
    assert "reason promised author ann" in text
    done = site.post("account/change/confirm", hidden(shown))
    assert (303, f"/entitlements/account?id=petra&done={verb}") == (done.status_code, done.headers["location"])
    assert is_made(site.accounts.find("petra"))
    assert (verb, "promised", "ann") == (site.row().action, site.row().reason, site.row().author)


def test_a_change_in_every_kind_of_console(any_site):
    for verb, fields in (
        ("grant", {"limit": "leads", "amount": "5"}), ("override", {"name": "sso", "value": "true"}), ("suspend", {}),
        ("resume", {}), ("end_grants", {"limit": "leads"}), ("end_override", {"name": "sso"}), ("set_tier", {"tier": "max"}),
    ):  # fmt: skip
        assert 303 == any_site.change(verb, **fields).status_code
        assert verb == any_site.row().action
        text_of(any_site.get("account", id="petra", done=verb))

    assert ("max", "active", (), ()) == tuple(
        getattr(any_site.accounts.find("petra"), name) for name in ("tier", "status", "grants", "overrides")
    )


def test_the_next_decision_is_by_the_changed_account(site):
    assert not site.enforcer.can("petra", "sso")

    site.change("override", name="sso", value="true")

    assert site.enforcer.can("petra", "sso")


def test_a_trial_is_ended(site):
    site.change("set_trial", tier="max", ends="2030-01-31")
    site.change("end_trial")

    assert site.accounts.find("petra").trial is None


REFUSED = [
    ("set_tier", {"tier": "pro"}, "is in tier 'pro' already; nothing changes"),
    ("set_tier", {"tier": "gold"}, "gold"),
    ("grant", {"limit": "nothing", "amount": "5"}, "grant names 'nothing', which is no limit"),
    ("grant", {"limit": "leads", "amount": "0"}, "amount 0 must be an int from 1"),
    ("grant", {"limit": "leads", "amount": "1.5"}, "'1.5' is not a whole number"),
    ("grant", {"limit": "leads", "amount": "5", "expires": "soon"}, "'soon' is not a date"),
    ("override", {"name": "reports", "value": "most"}, "'most' is not one of its levels"),
    ("override", {"name": "chat", "value": "true"}, "chat"),
    ("add_on", {"name": "gold", "quantity": "1"}, "'gold' is no add-on"),
    ("end_grants", {"limit": "leads"}, "has no grant of 'leads'"),
    ("resume", {}, "is active already; nothing changes"),
    ("suspend", {"reason": " "}, "The reason is missing"),
    ("suspend", {"author": ""}, "The author is missing"),
    ("suspend", {"reason": "x" * 501}, "The field has 501 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "fields", "said"), REFUSED)
def test_a_change_that_the_policy_does_not_allow_is_refused_before_it_is_done(site, verb, fields, said):
    shown = site.preview(verb, **fields)

    assert 422 == shown.status_code
    assert said in text_of(shown)
    assert 'action="/entitlements/account/change/confirm"' not in shown.text
    assert 1 == site.accounts.version("petra")


def test_a_downgrade_before_the_end_of_its_notice_is_refused_unless_it_is_waived(tmp_path):
    written = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "customer-tiers")
    with ConsoleSite(f"sqlite:///{tmp_path / 'a.db'}", written=written, tiers={"acme": "enterprise"}) as site:
        refused = site.preview("set_tier", "acme", tier="mid-market")
        waived = site.preview("set_tier", "acme", tier="mid-market", waive_notice="on")
        later = site.preview("set_tier", "acme", tier="mid-market", at="2035-01-01")

    assert (422, 200, 200) == (refused.status_code, waived.status_code, later.status_code)
    assert "has a notice of" in text_of(refused)
    assert "Steps of the policy" in text_of(waived)
    assert "mid-market, at 2035-01-01 00:00 UTC" in text_of(later)
    assert "What it may do from 2035-01-01 00:00 UTC" in text_of(later)


def test_what_was_written_stands_in_the_form_that_is_shown_again(site):
    shown = site.preview("grant", limit="leads", amount="many", reason='a "quoted" reason')

    assert 'value="many"' in shown.text
    assert "a &#34;quoted&#34; reason" in shown.text


def test_a_change_that_another_made_meanwhile_is_refused(site):
    shown = site.preview("grant", limit="leads", amount="5")
    site.accounts.suspend("petra", reason="meanwhile", author="bob")
    done = site.post("account/change/confirm", hidden(shown))

    assert 409 == done.status_code
    assert "is at version 2, not 1; read it again" in text_of(done)
    assert () == site.accounts.find("petra").grants


def test_the_author_is_the_one_whom_the_application_names(site):
    site.access = Access("ann@example.com")
    form = site.form("suspend", author="mallory")
    assert "Author: ann@example.com" in text_of(site.get("account/change", id="petra", verb="suspend"))
    shown = site.post("account/change/preview", form)
    done = site.post("account/change/confirm", hidden(shown) | {"author": "mallory"})

    assert (303, "ann@example.com") == (done.status_code, site.row().author)


def test_a_change_is_stored_although_the_store_cannot_hear_of_it(tmp_path):
    with ConsoleSite(f"sqlite:///{tmp_path / 'a.db'}") as site:
        with Enforcer(policy(), accounts=site.accounts, store="redis://127.0.0.1:1") as away:
            site.app.routes.clear()
            site.app.mount("/entitlements", Console(away, site.accounts, authorise=lambda _: "write"))
            done = site.change("grant", limit="leads", amount="5")

        assert (303, 2) == (done.status_code, site.accounts.version("petra"))
