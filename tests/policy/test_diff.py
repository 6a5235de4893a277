"""Differences of two policies: per tier, limit and account; and the command that fails a build."""

import copy
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trade import WRITTEN

from entitlements import NOT_INCLUDED, UNLIMITED, Account, Enforcer, Grant, Override, Policy
from entitlements.cli import main
from entitlements.policy.accounts import bind
from entitlements.rules.resolve import resolve
from entitlements.tiering.differences import ChangeDirection
from entitlements.tiering.policy_diff import diff, diff_account

OLD = Policy.parse(WRITTEN)


def changed(**tiers):
    """Return the shared policy with parts of some tiers replaced, as in a new version of its files."""
    new = copy.deepcopy(WRITTEN)
    new["policy"]["version"] = "t2"
    for tier, sections in tiers.items():
        for section, names in sections.items():
            if isinstance(names, dict):
                new["tiers"][tier].setdefault(section, {}).update(names)
            else:
                new["tiers"][tier][section] = names
    return new


def account_diff(new, account, usage=None):
    return diff_account(OLD, Policy.parse(new), account, lambda p, each: resolve(p, bind(p, each), 0), usage)


def changes_by_name(differences):
    return {each.name: (each.before, each.after, each.direction.value) for each in differences}


def test_a_policy_does_not_differ_from_itself():
    same = diff(OLD, Policy.parse(WRITTEN))

    assert (False, False, (), ()) == (bool(same), same.takes_away, same.tiers, same.limits)


def test_features_levels_limits_and_values_are_told_per_tier():
    new = changed(pro={
        "features": ["sso"], "levels": {"reports": "full"},
        "limits": {"leads": 5, "agents": "unlimited"}, "values": {"support": {"phone": "none"}},
    })  # fmt: skip

    whole = diff(OLD, Policy.parse(new))

    assert ["pro"] == [each.tier for each in whole.tiers]
    assert {
        "chat": (True, NOT_INCLUDED, "lost"),
        "sso": (NOT_INCLUDED, True, "gained"),
        "reports": ("basic", "full", "gained"),
        "leads": (10, 5, "lost"),
        "agents": (3, UNLIMITED, "gained"),
        "support.phone": ("business-hours", "none", "changed"),
        "support.response": (timedelta(hours=8), NOT_INCLUDED, "lost"),
    } == changes_by_name(whole.tiers[0].differences)
    assert whole.takes_away


def test_more_for_everybody_takes_nothing_away():
    whole = diff(OLD, Policy.parse(changed(pro={"limits": {"leads": 11}}, max={"limits": {"agents": "unlimited"}})))

    assert (True, False) == (bool(whole), whole.takes_away)


def test_zero_and_not_included_are_two_things():
    new = changed()
    del new["tiers"]["free"]["limits"]["api"]

    assert {"api": (0, NOT_INCLUDED, "lost")} == changes_by_name(diff(OLD, Policy.parse(new)).tiers[0].differences)


def test_tiers_come_and_go():
    new = changed()
    new["tiers"]["ultra"] = {"rank": 9}
    del new["tiers"]["free"]

    whole = diff(OLD, Policy.parse(new))

    assert {"ultra": "added", "free": "removed"} == {each.tier: each.presence for each in whole.tiers}
    assert whole.takes_away


@pytest.mark.parametrize(
    ("limit", "becomes", "restarts", "meters"),
    [
        ("api", {"kind": "rate", "algorithm": "fixed"}, True, "its meters start anew"),
        ("leads", {"kind": "allocation"}, True, "its meters start anew"),
        ("leads", {"kind": "quota", "mode": "shadow"}, False, ""),
        ("api", {"kind": "rate", "on_outage": "deny"}, False, ""),
        ("leads", {"kind": "quota", "unit": "lead", "per": "user"}, True, "its meters start anew"),
        ("per-ip", {"kind": "rate"}, True, "its meters start anew"),
        ("per-ip", {"kind": "rate", "per": "user"}, False, "a scope goes on with the meter of its id"),
        ("leads", {"kind": "quota", "period": "day"}, False, "its meters go on; the running period ends with the day"),
        ("leads", {"kind": "quota", "period": "lifetime"}, False, "its meters go on; the running period never ends"),
    ],
)
def test_a_definition_that_changes_says_what_becomes_of_its_meters(files, capsys, limit, becomes, restarts, meters):
    new = changed()
    new["limits"][limit] = becomes
    files(new)

    (found,) = diff(OLD, Policy.parse(new)).limits
    main(["diff", "old.yaml", "new.yaml"])

    assert (limit, restarts, meters) == (found.limit, found.restarts, found.meters)
    (line,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith(f"limit {limit}"))
    assert line.endswith(f"; {meters}" if meters else "")


@pytest.mark.parametrize(
    ("period", "takes_away"), [("day", False), ("week", False), ("year", True), ("lifetime", True)]
)
def test_a_longer_period_takes_away_and_no_period_starts_a_meter_anew(period, takes_away):
    """It was a month."""
    new = changed()
    new["limits"]["leads"]["period"] = period

    whole = diff(OLD, Policy.parse(new))

    (found,) = whole.limits
    assert ({"period": ("month", period)}, False, takes_away) == (found.changes, found.restarts, whole.takes_away)


def test_a_time_zone_that_changes_is_told_and_takes_nothing_away(files, capsys):
    new = changed()
    new["policy"]["time_zone"] = "Asia/Tokyo"
    files(new)

    whole = diff(OLD, Policy.parse(new))
    code = main(["diff", "old.yaml", "new.yaml"])

    assert (True, False, ("UTC", "Asia/Tokyo")) == (bool(whole), whole.takes_away, whole.time_zone)
    assert (0, "time zone: UTC -> Asia/Tokyo; running periods end at another midnight\n") == (
        code, capsys.readouterr().out,
    )  # fmt: skip


def test_what_is_sold_is_told_and_an_add_on_that_goes_takes_away(files, capsys):
    new = changed(max={"rank": 9, "retired": True})
    first, second, *_ = new["add_ons"]
    new["add_ons"][first] |= {"at_most": 7, "price": "5 per month"}
    whole = diff(OLD, Policy.parse(new))
    assert (False, {"rank": (3, 9), "retired": (False, True)}) == (whole.takes_away, dict(whole.tiers[0].sale))
    assert [(first, "changed", {"price", "at_most"})] == [(e.add_on, e.presence, {*e.changes}) for e in whole.add_ons]
    new["add_ons"]["another"] = new["add_ons"].pop(second)
    files(new)

    whole = diff(OLD, Policy.parse(new))
    code = main(["diff", "old.yaml", "new.yaml"])
    said = capsys.readouterr().out

    assert (True, 1) == (whole.takes_away, code)
    assert f"add-on {second}: removed\n" in said
    assert "add-on another: added\n" in said
    assert "tier max: rank 3 -> 9, retired no -> yes\n" in said
    assert f"add-on {first}: " in said
    assert "at_most none -> 7" in said


def test_a_window_that_changes_starts_anew():
    new = changed()
    for tier in new["tiers"].values():
        if "fixed" in tier.get("limits", {}):
            tier["limits"]["fixed"] = "10 per minute"

    found = {each.limit: each.restarts for each in diff(OLD, Policy.parse(new)).limits}

    assert {"fixed": True} == found


def test_an_account_is_told_what_it_gains_and_loses_with_what_it_bought():
    account = Account("x", "pro", grants=[Grant("leads", 7)])

    found = account_diff(changed(pro={"limits": {"leads": 5, "agents": 4}}), account)

    assert {"leads": (17, 12, "lost"), "agents": (3, 4, "gained")} == changes_by_name(found.differences)
    assert (True, True, "pro", "pro") == (found.gains, found.loses, found.tier_before, found.tier_after)


def test_an_account_lands_over_a_limit_that_shrinks_below_its_usage():
    new = changed(pro={"limits": {"agents": 2, "leads": 5}})

    found = account_diff(new, Account("x", "pro"), {"agents": 3, "leads": 5})

    assert [("agents", 3, 2)] == [(each.limit, each.used, each.size) for each in found.over]
    assert () == account_diff(new, Account("x", "pro")).over  # unknown usage is over no limit


def test_an_override_that_the_new_policy_says_itself_is_redundant_and_one_that_was_so_before_is_not_news():
    def overridden(name, value):
        return Account("x", "pro", overrides=[Override(name, value, reason="r", author="a")])

    new = changed(pro={"limits": {"leads": 50}, "features": ["chat", "sso"]})

    assert ("leads",) == account_diff(new, overridden("leads", 50)).redundant
    assert ("sso",) == account_diff(new, overridden("sso", True)).redundant
    assert () == account_diff(new, overridden("leads", 51)).redundant
    assert () == account_diff(new, overridden("chat", True)).redundant


def test_an_account_that_the_new_policy_cannot_serve_is_named():
    new = changed()
    del new["limits"]["trials"]
    del new["tiers"]["pro"]["limits"]["trials"]
    for tier in new["tiers"].values():
        tier.get("limits", {}).pop("trials", None)

    found = account_diff(new, Account("x", "pro", overrides=[Override("trials", 5, reason="r", author="a")]))

    assert found.loses
    assert "trials" in found.problem


sizes = st.one_of(st.integers(0, 20), st.just("unlimited"))


@given(sizes, sizes, sizes)
def test_what_is_lost_is_refused_and_what_is_gained_was(before, after, used):
    """The direction agrees with enforcement: a charge that only one policy admits shows which one allows more."""
    old, new = (Policy.parse(changed(pro={"limits": {"agents": size}})) for size in (before, after))
    directions = {each.direction for tier in diff(old, new).tiers for each in tier.differences if each.name == "agents"}
    n = 1 if used == "unlimited" else used + 1
    was, is_ = (Enforcer(policy, accounts={"x": "pro"}).consume("x", "agents", n).allowed for policy in (old, new))

    assert was <= is_ or directions == {ChangeDirection.LOST}
    assert is_ <= was or directions == {ChangeDirection.GAINED}
    assert bool(directions) == (before != after)


# -- the command -------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def written(new, accounts="id,tier,agents\na,pro,3\nb,free,1\n"):
        # JSON is YAML
        (tmp_path / "old.yaml").write_text(json.dumps(WRITTEN, default=lambda delta: f"PT{delta.seconds}S"))
        (tmp_path / "new.yaml").write_text(json.dumps(new, default=lambda delta: f"PT{delta.seconds}S"))
        (tmp_path / "accounts.csv").write_text(accounts)

    return written


def test_the_command_shows_tiers_and_accounts_and_exits_with_1_where_anybody_loses(files, capsys):
    files(changed(pro={"limits": {"agents": 2}}))

    code = main(["diff", "old.yaml", "new.yaml", "--accounts", "accounts.csv"])

    assert (1, [
        "tier pro",
        "  - agents: 3 -> 2",
        "account a",
        "  - agents: 3 -> 2",
        "  ! agents: 3 used of 2; keeps them, and can add none",
        "0 accounts gain, 1 lose, 1 land over a limit, 0 have an override that is no longer needed",
    ]) == (code, capsys.readouterr().out.splitlines())  # fmt: skip


def test_the_command_names_no_tier_for_an_account_that_breaks_a_new_rule(files, capsys):
    new = changed()
    new["add_ons"]["more-agents"]["requires"] = ["phone"]
    files(new, accounts="id,tier,add_ons\na,pro,more-agents\n")

    assert 1 == main(["diff", "old.yaml", "new.yaml", "--accounts", "accounts.csv"])
    lines = capsys.readouterr().out.splitlines()

    assert "account a" in lines
    assert "None" not in " ".join(lines)


def test_the_command_exits_with_0_where_nobody_loses(files, capsys):
    files(changed(pro={"limits": {"agents": 20}}))

    code = main(["diff", "old.yaml", "new.yaml", "--accounts", "accounts.csv", "--json"])
    said = json.loads(capsys.readouterr().out)

    assert (0, False, ["a"]) == (code, said["takes_away"], [each["account"] for each in said["accounts"]])
    assert {"before": 3, "after": 20, "direction": "gained", "name": "agents", "kind": "limit"} in said["accounts"][0][
        "differences"
    ]


def test_the_command_says_so_where_nothing_changes(files, capsys):
    files(WRITTEN)

    assert 0 == main(["diff", "old.yaml", "new.yaml"])
    assert "say the same of every tier and limit" in capsys.readouterr().out


def test_the_command_reads_usage_from_a_store(files, capsys, server):
    files(changed(pro={"limits": {"agents": 2}}))
    url = f"redis://127.0.0.1:{server.port}/0?namespace=diff"
    with Enforcer(OLD, accounts={"a": "pro"}, store=url) as ent:
        ent.forget("a")
        ent.consume("a", "agents", 3)

        code = main(["diff", "old.yaml", "new.yaml", "--accounts", "accounts.csv", "--store", url])
        ent.forget("a")

    assert 1 == code
    assert "! agents: 3 used of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["old.yaml", "none.yaml"], 4, "none.yaml"),
        (["old.yaml", "new.yaml", "--store", "redis://x"], 2, "add --accounts"),
        (["old.yaml", "new.yaml", "--accounts", "none.csv"], 4, "none.csv"),
    ],
)
def test_the_command_names_what_it_cannot_read(files, capsys, argv, code, words):
    files(WRITTEN)

    assert code == main(["diff", *argv])
    assert words in capsys.readouterr().err
