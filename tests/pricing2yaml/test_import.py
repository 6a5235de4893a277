"""`entitlements import pricing2yaml`: every feature and usage limit of every plan and add-on is answered as the file says."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from entitlements import NOT_INCLUDED, UNLIMITED, Account, Enforcer, Policy
from entitlements.cli import main
from entitlements.model.limits import Allocation, Quota, Rate
from entitlements.pricing2yaml import import_price_list

LISTS = Path(__file__).parent / "lists"
FILES = sorted(LISTS.rglob("*.y*ml"))
BYTES = {"GB": 10**9, "MB": 10**6}


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def written(request, tmp_path, capsys):
    """Return the price list as its YAML has it, the policy as the command wrote it, and the command's report."""
    target = tmp_path / "policy.yaml"
    assert 0 == main(["import", "pricing2yaml", str(request.param), "-o", str(target)])
    return YAML(typ="safe", pure=True).load(request.param), Policy.load(target), capsys.readouterr().out


def said(raw, section, name, *givers):
    """Return the value that the last of *givers* has for an item, else its default."""
    values = [(giver.get(section) or {}).get(name, {}).get("value") for giver in givers]
    return next((each for each in reversed(values) if each is not None), raw[section][name]["defaultValue"])


def answered(enforcer, account, raw, section, name):
    """Return the policy's answer in the unit of the price list."""
    item, plain = raw[section][name], name.replace("/", "-")
    plain += "-2" if name == "uptime" or (name == "parcels" and section == "usageLimits") else ""
    policy = enforcer.policy
    if plain in policy.limits:
        size = enforcer.entitlements(account).limit(plain)
        factor = BYTES.get(item.get("unit", "").partition("/")[0], 1)
        return float("inf") if size is UNLIMITED else Decimal(size) / factor
    if plain in policy.features:
        return enforcer.can(account, plain)
    value = enforcer.value(account, plain)
    return float("inf") if value == "unlimited" else list(value) if isinstance(value, tuple) else value


def test_every_plan_and_add_on_is_answered_as_the_file_says(written):
    raw, policy, _ = written
    enforcer = Enforcer(policy)
    plans = raw.get("plans") or {"base": {}}
    asked = 0
    for plan, content in plans.items():
        for section in ("features", "usageLimits"):
            for name in raw[section]:
                expected = said(raw, section, name, content)
                assert expected == pytest.approx(answered(enforcer, Account("a", plan), raw, section, name)), (
                    plan,
                    name,
                )
                asked += 1
                for add_on, extra in raw["addOns"].items():
                    needed = extra.get("dependsOn") or []
                    if plan not in (extra.get("availableFor") or plans) or needed:
                        continue
                    quantity = policy.add_ons[add_on].at_least
                    more = (extra.get("usageLimitsExtensions") or {}).get(name, {}).get("value", 0)
                    expected = said(raw, section, name, content, extra)
                    expected = expected + more * quantity if more and section == "usageLimits" else expected
                    account = Account("a", plan, add_ons={add_on: quantity})
                    assert expected == pytest.approx(answered(enforcer, account, raw, section, name)), (
                        plan,
                        add_on,
                        name,
                    )
                    asked += 1
    assert asked >= 18


def test_the_report_counts_and_lists_what_is_not_said(written):
    raw, _, report = written

    if raw["saasName"] == "Couriers & Sons":
        assert (
            "Not said (1):\n  fractions of a unit\n    usageLimits.weight: 31.5 is not a whole number; it is a value for your code"
            in report
        )
        assert "'night/Delivery' is called 'night-Delivery'" in report
        assert "'parcels' is called 'parcels-2'" in report
    else:
        assert "The price list is said whole." in report


def imported(stem):
    return import_price_list(next(each for each in FILES if each.stem == stem)).policy


def test_periods_and_scopes_become_limits_of_their_kind():
    couriers, tokens, darkroom = imported("couriers-2"), imported("tokens-3"), imported("darkroom-1")

    assert ("day", "week", "user", "year", "year", "month") == (
        couriers.limits["parcels-2"].period, couriers.limits["labels"].period, couriers.limits["labels"].per,
        couriers.limits["audits"].period, tokens.limits["tokens"].period, darkroom.limits["photos"].period,
    )  # fmt: skip
    assert (Rate, 15 * 86_400_000_000, "fixed") == (
        type(tokens.limits["bursts"]), tokens.limits["bursts"].window, tokens.limits["bursts"].algorithm,
    )  # fmt: skip
    assert (Allocation, "byte", Rate, Quota) == (
        type(tokens.limits["files"]), tokens.limits["files"].unit, type(darkroom.limits["calls"]), type(darkroom.limits["photos"]),
    )  # fmt: skip
    assert "fileSize" not in tokens.limits
    assert Decimal(25) == tokens.tiers["base"].values["fileSize"]


def test_rules_and_prices_of_add_ons_are_kept():
    couriers, tokens = imported("couriers-2"), imported("tokens-3")
    crew, packs = couriers.add_ons["crew"], tokens.add_ons["packs"]

    assert (("depot",), ("express",), {"drivers": 40}) == (
        crew.requires, couriers.add_ons["bulk"].excludes, dict(couriers.add_ons["depot"].sets),
    )  # fmt: skip
    assert (4, 12, 4, "10 per pack") == (packs.at_least, packs.at_most, packs.step, packs.price)
    assert ("9 per driver/month", "5, one time payment") == (crew.price, couriers.add_ons["bulk"].price)
    assert couriers.tiers["FLEET"].retired
    assert Decimal("0.8") == couriers.tiers["MOTOR"].values["pricing.billing.annual"]


def test_a_remedy_of_an_imported_policy_has_its_price():
    remedy = Enforcer(imported("couriers-2")).decide(Account("acme", "PEDAL"), "night-Delivery").remedy

    assert ("MOTOR", "29 per month", "express", "7", "add_on") == (
        remedy.tier, remedy.tier_price, remedy.add_on, remedy.add_on_price, remedy.cheaper,
    )  # fmt: skip


HEAD = "saasName: Odd\ncurrency: USD\n"


def omissions_of(tmp_path, text):
    (tmp_path / "odd.yml").write_text(HEAD + text, encoding="utf-8")
    found = import_price_list(tmp_path / "odd.yml")
    assert () == found.comparison.differences
    return [(omission.kind.name, omission.path) for omission in found.converted.omissions]


FEATURE = "features: {a: {valueType: BOOLEAN, defaultValue: true, type: DOMAIN}}\n"
PLAN = "plans: {P: {price: 1}}\n"


@pytest.mark.parametrize(
    ("text", "omissions"),
    [
        (FEATURE.replace("DOMAIN", "DOMAIN, expression: \"userContext['pets'] > 3\"") + PLAN, [("CONDITION", "features.a")]),
        (FEATURE + "plans: {P: {price: '2 * #x'}}\n", [("PRICE", "plans.P.price")]),
        (FEATURE + PLAN + "addOns: {b: {price: 1, features: {a: {value: false}}}}\n", [("TAKES_AWAY", "addOns.b.features.a")]),
        (FEATURE + PLAN + "addOns: {b: {price: 1, availableFor: [Q], dependsOn: [c], excludes: [b]}}\n",
         [("RULE", "addOns.b.availableFor"), ("RULE", "addOns.b.availableFor"), ("RULE", "addOns.b.requires")]),
        (FEATURE + PLAN + "planz: {Q: {price: 2}}\n", [("KEY", "planz")]),
        (FEATURE + "plans: {P: {price: 1, fatures: {a: {value: true}}}}\n", [("KEY", "plans.P.fatures")]),
        (FEATURE.replace("defaultValue", "defaultVal") + PLAN, [("KEY", "features.a.defaultVal")]),
        (FEATURE.replace("BOOLEAN", "BOOL") + PLAN, [("VALUE", "features.a.valueType")]),
        (FEATURE + PLAN + "usageLimits: {l: {valueType: NUMERIC, defaultValue: 5, type: RENEWING}}\n", [("VALUE", "usageLimits.l.type")]),
        (FEATURE + PLAN + "usageLimits: {l: {valueType: NUMERIC, defaultValue: 5, type: RENEWABLE, period: {value: x, unit: DAY}}}\n", [("PERIOD", "usageLimits.l.period")]),
        (FEATURE + "plans: {P: {price: 1, private: 'yes'}}\n", [("VALUE", "plans.P.private")]),
        (FEATURE + PLAN + "addOns: {b: {price: 1, dependsOn: [c], excludes: [c]}, c: {price: 1, dependsOn: [b]}}\n",
         [("RULE", "addOns.b"), ("RULE", "addOns.c")]),
        (FEATURE + PLAN + "usageLimits: {l: {valueType: NUMERIC, defaultValue: 5, unit: x/site/page, type: NON_RENEWABLE}}\n", [("SCOPE", "usageLimits.l")]),
        (FEATURE + PLAN + "usageLimits: {l: {valueType: NUMERIC, defaultValue: 5, type: RENEWABLE, period: {value: 3, unit: MONTH}}}\n", [("PERIOD", "usageLimits.l")]),
        (FEATURE + PLAN + "usageLimits: {l: {valueType: NUMERIC, defaultValue: many, type: RENEWABLE}}\n", [("VALUE", "usageLimits.l")]),
        (FEATURE + PLAN + "usageLimits: {l: {valueType: NUMERIC, defaultValue: -1, type: RENEWABLE}}\n", [("VALUE", "usageLimits.l")]),
        (FEATURE + PLAN + "usageLimits: {l: {valueType: NUMERIC, defaultValue: 0.1, type: RENEWABLE}}\n"
         "addOns: {b: {price: 1, usageLimitsExtensions: {l: {value: 1}}}}\n", [("FRACTION", "usageLimits.l"), ("ADDS_TO_VALUE", "addOns.b.usageLimits.l")]),
        (FEATURE + "plans: {P: {price: 1, features: {z: {value: true}}}}\n", [("VALUE", "plans.P.features.z")]),
        (FEATURE + PLAN + "addOns: {b: {price: 1, subscriptionConstraints: {min: 0, max: .inf}}}\n", [("RULE", "addOns.b.subscriptionConstraints")]),
    ],
)  # fmt: skip
def test_what_a_policy_cannot_say_is_listed(tmp_path, text, omissions):
    assert omissions == omissions_of(tmp_path, text)


def test_an_add_on_that_is_offered_to_no_known_plan_is_offered_to_none(tmp_path):
    text = HEAD + FEATURE + PLAN + "addOns: {b: {price: 1, availableFor: [Q]}, c: {price: 1, availableFor: [P]}}\n"
    (tmp_path / "odd.yml").write_text(text, encoding="utf-8")
    add_ons = import_price_list(tmp_path / "odd.yml").policy.add_ons

    assert (True, False) == (add_ons["b"].retired, add_ons["c"].retired)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "the file: ['a', 'b'] is no mapping; write keys with values"),
        ("currency: USD\n", "the file: it has no saasName; name a price list in the Pricing2Yaml format"),
        (HEAD + "features: {a: 5}\nplans: {P: {price: 1}}\n", "features.a: 5 is no mapping; write keys with values"),
        (HEAD + FEATURE, "plans: there is no plan and no add-on; write at least one"),
        (HEAD + FEATURE + "addOns: {b: {dependsOn: c}}\n", "addOns.b.dependsOn: 'c' is no list; write a list of names"),
        (
            HEAD + "syntaxVersion: 9.0\n" + FEATURE + PLAN,
            "syntaxVersion: 9.0 is not known; write a price list of 1.x, 2.x or 3.x",
        ),
        ("saasName: [\n", "not YAML: expected the node content"),
        ("a: 1\na: 2\n", "not YAML: found duplicate key"),
    ],
)
def test_a_file_that_is_no_price_list_is_an_error_with_its_place(tmp_path, capsys, text, said):
    (tmp_path / "odd.yml").write_text(text, encoding="utf-8")

    assert 4 == main(["import", "pricing2yaml", str(tmp_path / "odd.yml"), "-o", str(tmp_path / "policy.yaml")])
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "policy.yaml").exists()


def test_without_an_output_the_policy_goes_to_stdout_and_the_report_to_stderr(tmp_path, capsys):
    assert 0 == main(["import", "pricing2yaml", str(FILES[0])])
    out, err = capsys.readouterr()
    (tmp_path / "policy.yaml").write_text(out, encoding="utf-8")

    assert {"HOBBY", "STUDIO"} == set(Policy.load(tmp_path / "policy.yaml").tiers)
    assert "2 plans, 2 add-ons, 4 features, 4 usage limits" in err


def test_a_folder_is_imported_and_ranks_what_is_not_said(tmp_path, capsys):
    shutil.copytree(LISTS, tmp_path / "lists")
    (tmp_path / "lists" / "broken.yml").write_text("saasName: x\n", encoding="utf-8")

    assert 1 == main(["import", "pricing2yaml", str(tmp_path / "lists"), "-o", str(tmp_path / "out"), "--json"])
    summary = json.loads(capsys.readouterr().out)
    main(["import", "pricing2yaml", str(tmp_path / "lists")])
    text = capsys.readouterr().out

    assert (4, 3, 2, 50.0) == tuple(summary[each] for each in ("files", "loaded", "whole", "share"))
    assert summary["asked"] == summary["same"] > 60
    assert [{"kind": "fractions of a unit", "files": 1, "count": 1}] == summary["omissions"]
    assert {"darkroom-1.yaml", "tokens-3.yaml", "nested/couriers-2.yaml"} == {
        each.relative_to(tmp_path / "out").as_posix() for each in (tmp_path / "out").rglob("*.yaml")
    }
    assert "3 of 4 price lists load, 2 (50 %) are said whole" in text
    assert "     1 fractions of a unit (1)" in text


NAMES = st.text("ab/ &é", min_size=1, max_size=4).map(lambda text: f"x{text}")
NUMBERS = st.one_of(st.integers(0, 10**6), st.just(float("inf")), st.sampled_from([0.5, 2.25]))
UNITS = st.sampled_from(["", "GB", "call/minute", "mail/day", "GB/user", "seat", "run/team/year", "h/month"])
KINDS = st.sampled_from(["RENEWABLE", "NON_RENEWABLE", "TIME_DRIVEN"])


@st.composite
def price_lists(draw):
    """Return a price list of any shape that the format allows."""
    features = draw(
        st.dictionaries(
            NAMES, st.sampled_from([True, False, "4 hours", "1,000", "yes", ["CARD"]]), min_size=1, max_size=4
        )
    )
    limits = draw(st.dictionaries(NAMES, st.tuples(NUMBERS, UNITS, KINDS), max_size=4))
    kinds = {bool: "BOOLEAN", str: "TEXT", list: "TEXT"}

    def given_values(numbers):
        some = {name: {"value": draw(numbers)} for name in limits if draw(st.booleans())}
        flags = {
            name: {"value": draw(st.booleans())}
            for name, value in features.items()
            if isinstance(value, bool) and draw(st.booleans())
        }
        return some, flags

    plans, add_ons = {}, {}
    for name in draw(st.lists(NAMES, unique=True, max_size=3)):
        some, flags = given_values(NUMBERS)
        plans[name] = {"price": draw(st.sampled_from([0, 9.99, "Contact us"])), "features": flags, "usageLimits": some}
    for name in draw(st.lists(NAMES, unique=True, min_size=not plans, max_size=3)):
        some, flags = given_values(NUMBERS)
        section = draw(st.sampled_from(["usageLimits", "usageLimitsExtensions"]))
        add_ons[name] = {"price": 1, "features": flags, section: some, "excludes": draw(st.lists(NAMES, max_size=1))}
    return {
        "saasName": "Any", "currency": "USD", "plans": plans, "addOns": add_ons,
        "features": {name: {"valueType": kinds[type(value)], "defaultValue": value} for name, value in features.items()},
        "usageLimits": {name: {"valueType": "NUMERIC", "defaultValue": value, "unit": unit, "type": kind} for name, (value, unit, kind) in limits.items()},
    }  # fmt: skip


@settings(max_examples=30)
@given(raw=price_lists())
def test_any_price_list_loads_and_is_answered_as_it_says(tmp_path_factory, raw):
    file = tmp_path_factory.getbasetemp() / "any.yml"
    with file.open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(raw, stream)

    found = import_price_list(file)

    assert () == found.comparison.differences
    assert found.comparison.asked >= len(raw["features"])


def test_the_comparison_finds_a_policy_that_says_something_else(tmp_path):
    """The check of the command can fail: a policy with another size is told."""
    from dataclasses import replace

    from entitlements.pricing2yaml.answers import compare_answers

    found = import_price_list(FILES[0])
    tier = found.policy.tiers["HOBBY"]
    other = replace(
        found.policy, tiers={**found.policy.tiers, "HOBBY": replace(tier, limits={**tier.limits, "photos": 99})}
    )

    differences = compare_answers(found.prices, found.converted, other).differences

    assert ["plans.HOBBY, usageLimits.photos: the price list says 100, the policy 99"] == list(differences[:1])
    assert NOT_INCLUDED == other.tiers["HOBBY"].limits.get("nothing", NOT_INCLUDED)
