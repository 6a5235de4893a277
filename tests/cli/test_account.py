"""`entitlements account`, `usage set|reset|release`, `usage --all` and `invalidate`: changes with a reason and an author."""

import json
import sys

import pytest
from sql_sources import SqlAccounts

from entitlements import Account, Enforcer, Grant, Policy
from entitlements.cli import main

POLICY = """\
policy: {version: 7}
features: {sso: Single sign-on}
limits:
  api: {kind: rate, on_outage: deny}
  leads: {kind: quota, period: month}
  seats: {kind: allocation}
tiers:
  free: {rank: 1, limits: {api: 10 per hour, leads: 100, seats: 2}}
  pro: {rank: 2, features: [sso], limits: {api: 1000 per hour, leads: unlimited, seats: 10}, values: {transition: {notice: 30 days}}}
  taste: {rank: 2, extends: pro, trial: {of: 14 days, then: free}}
add_ons:
  more-leads: {limits: {leads: 50}}
  support: {features: [sso], excludes: [more-leads]}
"""
SIGNED = ("--reason", "a reason", "--author", "ann")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command on a database, and returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "ENTITLEMENTS_AUTHOR", "ENTITLEMENTS_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENTITLEMENTS_POLICY", "policy.yaml")
    monkeypatch.setenv("ENTITLEMENTS_ACCOUNTS", "sqlite:///accounts.db")

    def run(*argv):
        code = main(argv)
        return code, *capsys.readouterr()

    assert (0, "tables of version 2: created\n", "") == run("account", "migrate")
    return run


def stored(id="acme"):
    accounts = SqlAccounts("sqlite:///accounts.db")
    try:
        return accounts.find(id)
    finally:
        accounts.close_engine()


def test_each_command_changes_the_account_as_its_verb_does(run):
    for argv in (
        ("create", "acme", "free"),
        ("set-tier", "acme", "pro"),
        ("set-tier", "acme", "free", "--at", "2099-01-01"),
        ("override", "acme", "seats", "50", "--expires", "2099-06-01"),
        ("override", "acme", "leads", "7"),
        ("override", "acme", "leads", "--end"),
        ("grant", "acme", "seats", "3"),
        ("add-on", "acme", "more-leads", "2"),
        ("trial", "acme", "taste", "--at", "2099-02-01"),
        ("suspend", "acme"),
    ):
        code, out, err = run("account", *argv, *SIGNED)
        assert (0, "") == (code, err), argv
        assert out.startswith("acme: changed\n")

    account = stored()
    assert ("pro", "suspended", {"more-leads": 2}) == (account.tier, account.status, dict(account.add_ons))
    assert [("free", 2099)] == [(change.tier, change.at.year) for change in account.changes]
    assert ("taste", 14) == (account.trial.tier, (account.trial.ends - account.trial.starts).days)
    assert (Grant("seats", 3, reason="a reason"),) == account.grants
    assert [("seats", 50, "ann")] == [(each.name, each.value, each.author) for each in account.overrides]

    for argv in (("resume", "acme"), ("trial", "acme", "--end"), ("grant", "acme", "seats", "--end")):
        assert 0 == run("account", *argv, *SIGNED)[0]
    assert (None, (), "active") == (stored().trial, stored().grants, stored().status)
    assert (0, "acme: closed\n", "") == run("account", "close", "acme", *SIGNED)
    assert stored() is None


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["create", "acme", "pro"], 2, "account 'acme' exists, in tier 'pro'"),
        (["create", "other", "prp"], 2, "did you mean 'pro'"),
        (["suspend", "nobody"], 3, "account 'nobody': there is no such account"),
        (["set-tier", "acme", "free"], 2, "has a notice of 30 days; let it be at 20"),
        (["override", "acme", "sso", "true"], 2, "'sso' is True already, by tier 'pro'"),
        (["override", "acme", "sso"], 2, "give a VALUE, or --end"),
        (["override", "acme", "sso", "1,000"], 2, "override of 'sso': value '1,000' groups its digits"),
        (["grant", "acme", "leads", "5"], 2, "'leads' is unlimited already"),
        (["grant", "acme", "leads"], 2, "give an AMOUNT, or --end"),
        (["trial", "acme"], 2, "give a TIER, or --end"),
        (["trial", "acme", "pro"], 2, "the trial of 'pro' has no end"),
        (["close", "acme", "--at", "2999-01-01"], 2, "takes effect at once; leave at= out"),
        (["set-tier", "acme", "free", "--at", "soon"], 2, "--at 'soon' is not a date"),
    ],
)
def test_a_mistake_is_refused_with_its_cure_and_nothing_is_stored(run, argv, code, said):
    run("account", "create", "acme", "pro", *SIGNED)

    found, out, err = run("account", *argv, *SIGNED)

    assert (code, "") == (found, out)
    assert said in err
    assert Account("acme", "pro") == stored()


def test_a_change_needs_a_reason_and_an_author(run):
    assert 2 == run("account", "create", "acme", "pro", "--author", "ann")[0]
    assert 2 == run("account", "create", "acme", "pro", "--reason", "why")[0]
    assert stored() is None


def test_a_dry_run_shows_the_change_and_stores_nothing(run):
    run("account", "create", "acme", "free", *SIGNED)

    code, out, _ = run("account", "set-tier", "acme", "pro", "--dry-run", *SIGNED)
    assert (0, "acme: would change\n  tier: free -> pro\n") == (code, out)
    assert (0, "acme: would be closed\n") == run("account", "close", "acme", "--dry-run", *SIGNED)[:2]
    said = json.loads(run("account", "set-tier", "acme", "pro", "--dry-run", "--json", *SIGNED)[1])
    assert ({"tier": {"before": "free", "after": "pro"}}, 1, True) == (
        said["changed"],
        said["version"],
        said["dry_run"],
    )
    assert Account("acme", "free") == stored()


def test_accounts_are_shown_and_listed_with_their_audit(run):
    run("account", "create", "acme", "free", *SIGNED)
    run("account", "add-on", "acme", "more-leads", "--reason", "bought", "--author", "bob", "--at", "2026-03-01")
    run("account", "create", "other", "pro", *SIGNED)

    assert (0, "acme: tier free, active\n  add_ons: more-leads: 1\n", "") == run("account", "show", "acme")
    said = json.loads(run("account", "show", "acme", "--json")[1])
    assert ("free", 2) == (said["tier"], said["version"])
    assert "account  tier  status\nacme     free  active\nother    pro   active\n" == run("account", "list")[1]
    assert ["other"] == [
        each["id"] for each in json.loads(run("account", "list", "--tier", "pro", "--json")[1])["accounts"]
    ]
    lines = run("account", "audit", "acme")[1].splitlines()
    assert "2026-03-01 00:00 UTC  version 2  add_on by bob: bought" == lines[0]
    assert '  add_ons: none -> {"more-leads": 1}' == lines[1]
    assert ["add_on", "create"] == [each["action"] for each in json.loads(run("account", "audit", "acme", "--json")[1])]
    assert 3 == run("account", "audit", "nobody")[0]
    code, _, err = run("account", "show", "acmee")
    assert (3, True) == (code, "did you mean 'acme'" in err)


def test_every_question_takes_the_database(run):
    run("account", "create", "acme", "free", *SIGNED)

    assert (1, "no: acme does not have sso, on tier free; tier pro or add-on support has it\n") == run(
        "can", "acme", "sso"
    )[:2]
    assert 0 == run("review", "--json")[0]
    assert 0 == run("validate", "--accounts", "sqlite:///accounts.db")[0]
    accounts = SqlAccounts("sqlite:///accounts.db")
    with accounts._engine.begin() as connection:
        connection.exec_driver_sql("update entitlements_accounts set anchor = 'x'")
    accounts.close_engine()
    code, out, _ = run("validate", "--accounts", "sqlite:///accounts.db")
    assert 1 == code
    assert "entitlements_accounts, row acme: anchor: 'x' is not a day of the month" in out
    assert (1, 4) == (run("account", "list")[0], run("can", "acme", "sso")[0])
    assert "table entitlements_accounts, row acme, column anchor" in run("account", "suspend", "acme", *SIGNED)[2]


def test_an_object_of_a_module_is_a_source_of_accounts(run, tmp_path, monkeypatch):
    (tmp_path / "our_accounts.py").write_text(
        "from entitlements import Account\n"
        "class Source:\n    def find(self, id):\n        return Account(id, 'pro') if id == 'acme' else None\n"
        "source, mapping, nothing = Source(), {'acme': 'pro'}, 3\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("source", "mapping"):
        assert (0, "yes: acme has sso, on tier pro\n", "") == run(
            "can", "acme", "sso", "--accounts", f"our_accounts:{name}"
        )
        assert 3 == run("can", "nobody", "sso", "--accounts", f"our_accounts:{name}")[0]
    assert 0 == run("account", "list", "--accounts", "our_accounts:mapping")[0]
    for name, said in (
        ("our_accounts:other", "has no attribute 'other'; name a module and an object in it"),
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("our_accounts:nothing", "has no find(id)"),
    ):
        code, _, err = run("can", "acme", "sso", "--accounts", name)
        assert (2, True) == (code, said in err), err
    assert "cannot be listed" in run("account", "list", "--accounts", "our_accounts:source")[2]
    sys.modules.pop("our_accounts")


def test_a_file_is_not_changed_and_a_foreign_database_names_the_command(run, tmp_path):
    (tmp_path / "a.csv").write_text("id,tier\nacme,free\n", encoding="utf-8")

    code, _, err = run("account", "suspend", "acme", "--accounts", "a.csv", *SIGNED)
    assert (2, True) == (code, "--accounts a.csv is no database" in err and "name a database" in err)
    code, _, err = run("account", "suspend", "acme", "--accounts", "sqlite:///empty.db", *SIGNED)
    assert (4, True) == (code, "entitlements account migrate --accounts sqlite:///empty.db" in err)
    code, _, err = run("account", "list", "--accounts", "postgresql://ann:secret@127.0.0.1:1/nothing")
    assert 4 == code
    assert "secret" not in err


# --- Usage ----------------------------------------------------------------------------------------------------------


def test_usage_is_corrected_with_an_audit_row(run, valkey):
    run("account", "create", "acme", "free", *SIGNED)
    store = ("--store", valkey.url)
    with Enforcer(Policy.load("policy.yaml"), accounts={"acme": "free"}, store=valkey.url) as enforcer:
        enforcer.consume("acme", {"api": 10, "leads": 5, "seats": 2})

        assert (0, "acme: leads used: 5 -> 7\n", "") == run("usage", "set", "acme", "leads", "7", *store, *SIGNED)
        assert (0, "acme: seats used: 2 -> 1\n", "") == run("usage", "release", "acme", "seats", *store, *SIGNED)
        assert (
            "acme: api would be corrected: 10\n"
            == run("usage", "reset", "acme", "api", "--dry-run", *store, *SIGNED)[1]
        )
        assert not enforcer.peek("acme", "api")
        said = json.loads(run("usage", "reset", "acme", "api", "--json", *store, *SIGNED)[1])
        assert (10, 0, True) == (said["before"]["used"], said["after"]["used"], said["audited"])
        assert enforcer.peek("acme", "api")
        assert 7 == enforcer.usage("acme")["leads"].used

    for argv, said in (
        (("set", "acme", "api", "7"), "rate"),
        (("reset", "acme", "leads"), "leads"),
        (("set", "acme", "leeds", "7"), "did you mean 'leads'"),
        (("set", "acme", "leads", str(2**60)), "leads"),
    ):
        code, _, err = run("usage", *argv, *store, *SIGNED)
        assert (2, True) == (code, said in err), (argv, err)
    lines = [line for line in run("account", "audit", "acme")[1].splitlines() if "version" in line]
    assert ["reset", "release", "set_usage", "create"] == [line.split("  ")[2].split(" by")[0] for line in lines]


def test_usage_of_a_scope_is_shown_listed_and_corrected(run, valkey, tmp_path):
    run("account", "create", "acme", "free", *SIGNED)
    text = POLICY
    (tmp_path / "scoped.yaml").write_text(
        text.replace(
            "limits:\n", "limits:\n  drafts: {kind: quota, per: user}\n  slots: {kind: allocation, per: user}\n", 1
        ).replace("limits: {", "limits: {drafts: 5, slots: 3, "),
        encoding="utf-8",
    )
    store = ("--store", valkey.url, "--policy", str(tmp_path / "scoped.yaml"))

    assert (0, "acme: drafts of ann used: 0 -> 4\n", "") == run(
        "usage", "set", "acme", "drafts", "4", "--scope", "ann", *store, *SIGNED
    )
    assert 0 == run("usage", "set", "acme", "slots", "2", "--scope", "bob", *store, *SIGNED)[0]
    assert (
        "acme: slots of bob used: 2 -> 1\n"
        == run("usage", "release", "acme", "slots", "--scope", "bob", *store, *SIGNED)[1]
    )
    assert "ann\nbob\n" == run("usage", "scopes", "acme", *store)[1]
    assert ["bob"] == json.loads(run("usage", "scopes", "acme", "slots", "--json", *store)[1])["scopes"]
    assert "bob\n" == run("usage", "scopes", "acme", "--after", "ann", *store)[1]
    assert 4 == json.loads(run("usage", "acme", "--scope", "ann", "--json", *store)[1])["limits"]["drafts"]["used"]
    assert "drafts of ann" in run("account", "audit", "acme")[1]
    assert "user: each has a meter of its own" in run("explain", "acme", "drafts", *store[2:])[1]
    for argv in (
        ("set", "acme", "drafts", "4"),
        ("set", "acme", "leads", "4", "--scope", "ann"),
        ("scopes", "acme", "leads"),
    ):
        code, _, err = run("usage", *argv, *store, *(SIGNED if argv[0] == "set" else ()))
        assert (2, True) == (code, "scope" in err), err


def test_usage_of_one_account_is_shown_as_ever(run, valkey):
    run("account", "create", "set", "free", *SIGNED)

    code, out, _ = run("usage", "show", "set", "--json", "--store", valkey.url)

    assert (0, "set") == (code, json.loads(out)["account"])
    assert 2 == run("usage", "--store", valkey.url)[0]
    assert 2 == run("usage", "acme", "--all", "--store", valkey.url)[0]


def test_accounts_near_a_limit_are_listed(run, valkey):
    for id in ("a", "b", "c"):
        run("account", "create", id, "free", *SIGNED)
    with Enforcer(Policy.load("policy.yaml"), accounts=dict.fromkeys("abc", "free"), store=valkey.url) as enforcer:
        enforcer.consume("a", "leads", 85)
        enforcer.consume("b", "leads", 79)
        enforcer.consume("c", "seats", 2)

    code, out, _ = run("usage", "--all", "--near", "80", "--store", valkey.url)
    assert 0 == code
    assert ["account tier limit used", "c free seats 100% 2 of 2", "a free leads 85% 85 of 100"] == [
        " ".join(line.split()) for line in out.splitlines()
    ]
    said = json.loads(run("usage", "--all", "--near", "90", "--json", "--store", valkey.url)[1])
    assert [("c", "seats", 1.0)] == [(each["account"], each["limit"], each["share"]) for each in said["limits"]]


def test_an_account_is_invalidated_by_hand(run, valkey):
    assert (0, "acme: invalidated\n", "") == run("invalidate", "acme", "--store", valkey.url)
    assert 2 == run("invalidate", "acme")[0]
    assert 0 == run("account", "create", "acme", "free", "--store", valkey.url, *SIGNED)[0]


def test_an_add_on_that_breaks_a_rule_is_refused_with_its_cure(run):
    run("account", "create", "acme", "free", *SIGNED)
    run("account", "add-on", "acme", "more-leads", *SIGNED)

    code, _, err = run("account", "add-on", "acme", "support", *SIGNED)

    said = "the add-ons 'more-leads' and 'support' exclude each other; take one of the two away"
    assert (2, True, {"more-leads": 1}) == (code, said in " ".join(err.split()), dict(stored().add_ons))
