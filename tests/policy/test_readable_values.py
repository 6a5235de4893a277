"""Values that the library reads itself: each that it cannot read is reported with line and cure."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from entitlements import Account, AccountError, Enforcer, Override, Policy, PolicyError

P1 = "p1: {response: 4 hours, response-clock: support-hours}"
CLOCK = "zone: Europe/Berlin, opens: '09:00', closes: '18:00', days: [monday, tuesday]"


def load(tmp_path, values, add_on=""):
    file = tmp_path / "policy.yaml"
    file.write_text(
        "policy: {version: 1}\n"
        + (f"add_ons:\n  more:\n    values: {add_on}\n" if add_on else "")
        + f"tiers:\n  one:\n    rank: 1\n    values:\n      {values}\n"
    )
    return Policy.load(file)


def problems_of(tmp_path, values, add_on=""):
    with pytest.raises(PolicyError) as raised:
        load(tmp_path, values, add_on)
    return raised.value.problems


@pytest.mark.parametrize(
    ("values", "path", "cure"),
    [
        (f"sla: {{{P1}, clock: {{{CLOCK.replace('Berlin', 'Berln')}}}}}", "sla.clock.zone", "IANA"),
        (f"sla: {{{P1}, clock: {{{CLOCK.replace('18:00', '06:00')}}}}}", "sla.clock.closes", '"30:00"'),
        (f"sla: {{{P1}, clock: {{{CLOCK.replace('18:00', '34:00')}}}}}", "sla.clock.closes", "00:00 to 24:00"),
        (f"sla: {{{P1}, clock: {{{CLOCK.replace('09:00', '9 am')}}}}}", "sla.clock.opens", "08:00"),
        (f"sla: {{{P1}, clock: {{{CLOCK.replace('tuesday', 'Tue')}}}}}", "sla.clock.days[1]", "write tuesday"),
        (f"sla: {{{P1}, clock: {{{CLOCK}, holidays: [25.12.]}}}}", "sla.clock.holidays[0]", "2026-12-25"),
        (f"sla: {{{P1}, clock: {{{CLOCK}, breaks: ['12:30']}}}}", "sla.clock.breaks[0]", "12:30-13:30"),
        (f"sla: {{{P1}, clock: {{{CLOCK}, breaks: ['08:00-10:00']}}}}", "sla.clock.breaks", "09:00 to 18:00"),
        (f"sla: {{{P1}, clock: {{{CLOCK}, holiday: [12-25]}}}}", "sla.clock.holiday", "'holidays'"),
        (f"sla: {{{P1}, clock: {{{CLOCK}, lunch: '12:30'}}}}", "sla.clock.lunch", "breaks"),
        (f"sla: {{{P1}, clock: {{zone: UTC}}}}", "sla.p1.response-clock", "sla.clock.opens"),
        (f"sla: {{{P1}, clock: 24/7}}", "sla.clock", "response-clock: 24/7"),
        ("sla: {p1: {response: 1 business day}}", "sla.p1.response", "4 hours"),
        ("sla: {p1: {response: 4 hours, response-clock: suport-hours}}", "sla.p1.response-clock", "support-hours"),
        ("sla: {p1: {respnse: 4 hours}}", "sla.p1.respnse", "'response'"),
        ("sla: {p1: 4 hours}", "sla.p1", "response and resolution"),
        ("sla: 1 hour", "sla", "p1: {response: 4 hours}"),
        ("transition: 30 days", "transition", "notice: 30 days"),
        (f"sla: {{{P1}, clok: {{{CLOCK}}}}}", "sla.clok.zone", "did you mean 'clock'?"),
        ("uptime: {guarantee: three nines}", "uptime.guarantee", "no-commitment"),
        ("uptime: {guarantee: 999}", "uptime.guarantee", "99.9"),
        ("uptime: {guarante: 99.9}", "uptime.guarante", "'guarantee'"),
        ("uptime: {credits: {below: 99.9, credit: 10}}", "uptime.credits.below", "a list"),
        ("uptime: {credits: [{under: 95, credit: 50}]}", "uptime.credits[0].under", "below"),
        ("uptime: {credits: [{below: 95, credits: 50}]}", "uptime.credits[0].credits", "'credit'"),
        ("uptime: {credits: [{below: 95}]}", "uptime.credits[0]", "credit: 10"),
        ("uptime: {credits: [{below: 95, credit: half}]}", "uptime.credits[0].credit", "10"),
        ("uptime: {credits: [{below: 95, credit: 5}, {below: 95, credit: 9}]}", "uptime.credits[1].below", "one"),
        ("uptime: {guarantee: 99, credits: [{below: 99.9, credit: 5}]}", "uptime.credits[0].below", "write 99 "),
        ("uptme: {guarantee: 99}", "uptme.guarantee", "'uptime'"),
        ("health: {weights: {usage: heavy}}", "health.weights.usage", "30"),
        ("health: {weights: {usage: -1}}", "health.weights.usage", "0 up"),
        ("health: {weights: {usage: '1,000'}}", "health.weights.usage", "30"),
        ("health: {weights: {usage: 0}}", "health.weights.usage", "raise"),
        ("health: {weihgts: {usage: 30}}", "health.weihgts.usage", "'weights'"),
        ("health: {weights: {usage: 30}, measures: {usage: Logins}}", "health.measures.usage", "a list"),
        ("health: {weights: {usage: 30}, measures: {usag: [Logins]}}", "health.measures.usag", "'usage'"),
        ("kpis: Logins", "kpis", "a list"),
        ("transition: {notce: 30 days}", "transition.notce", "'notice'"),
        ("pricing: {anual-minimum: 25000}", "pricing.anual-minimum", "'annual-minimum'"),
        ("pricing: {annual-minimum: -25000}", "pricing.annual-minimum", "0 or more"),
        ("prising: {annual-minimum: 25000}", "prising.annual-minimum", "'pricing'"),
        ("Pricing: {annual-minimum: 25000}", "Pricing.annual-minimum", "'pricing'"),
        ("pricing: {aditional: {phone: {price: 5}}}", "pricing.aditional.phone.price", "'additional'"),
        ("pricing: {additional: {phone: {prise: 5}}}", "pricing.additional.phone.prise", "'price'"),
        ("pricing: {additional: {phone: {price: 5, per: monthly}}}", "pricing.additional.phone.per", "write month"),
    ],
)
def test_a_value_that_cannot_be_read_is_an_error_with_its_line_and_cure(tmp_path, values, path, cure):
    found = {problem.path: problem for problem in problems_of(tmp_path, values)}[f"tiers.one.values.{path}"]

    assert 6 == found.line
    assert cure in found.cure


@pytest.mark.parametrize(
    ("values", "cure"),
    [
        ("uptime: {guarantee: 99.9 %}", "write 99.9"),
        ("uptime: {credits: [{below: 95 %, credit: 50}]}", "write 95"),
        ('health: {weights: {usage: "0,3"}}', "write 0.3"),
        ("sla: {p1: {response: 4 hours, colour: red}}", "move it out of 'sla'"),
        ("uptime: {guarantee: 99.9, dashboard: public}", "move it out of 'uptime'"),
        ("pricing: {minimum: $60000}", "write the number alone"),
        ('pricing: {minimum: "5.000,00 EUR"}', "write the number alone"),
        ("pricing: {annual-minimum: 25.000 USD a year}", "write the number alone"),
        ("pricing: {range: {from: 500, to: 50}}", "exchange"),
        ("sla: gold", "write keys below it, such as p1: {response: 4 hours}"),
        ("health: 0.5", "write keys below it, such as weights: {usage: 30}"),
        ("pricing: 10", "write keys below it, such as minimum: 500"),
    ],
)
def test_a_text_that_is_read_as_a_number_and_a_key_that_is_not_read_are_warnings(tmp_path, values, cure):
    (warning,) = load(tmp_path, values).warnings

    assert 6 == warning.line
    assert cure in warning.cure


def test_percent_signs_and_decimal_commas_count(tmp_path):
    policy = load(
        tmp_path,
        'uptime: {guarantee: "99.9 %", credits: [{below: "99,9", credit: 10}, {below: 95 %, credit: 50 %}]}\n'
        '      health: {weights: {usage: 0.4, support: "0,3", nps: 30 %}}',
    )
    enforcer = Enforcer(policy, accounts={"x": "one"})

    assert (Decimal("99.9"), 500) == (enforcer.uptime("x").guarantee, enforcer.uptime("x").credit(94, 1000).amount)
    assert {"usage": Decimal("0.4"), "support": Decimal("0.3"), "nps": 30} == {
        each.name: each.weight for each in enforcer.health("x", {}).components
    }


@pytest.mark.parametrize(
    ("written", "guarantee", "label"),
    [("99.5", Decimal("99.5"), ""), ("{no-commitment: Best effort}", None, "Best effort")],
)
def test_an_uptime_that_is_one_value_is_the_guarantee(tmp_path, written, guarantee, label):
    found = Enforcer(load(tmp_path, f"uptime: {written}"), accounts={"x": "one"}).uptime("x")

    assert (guarantee, label, ()) == (found.guarantee, found.label, found.credits)


def test_a_priority_with_a_resolution_only_is_a_priority(tmp_path):
    level = Enforcer(load(tmp_path, "sla: {p1: {resolution: 4 hours}}"), accounts={"x": "one"}).sla("x", "p1")

    assert "no commitment: not included" == str(level.response)


def test_holidays_breaks_and_nights_of_a_policy_are_read(tmp_path):
    clock = (
        "zone: UTC, opens: '22:00', closes: '30:00', days: [monday], breaks: ['01:00-02:00'], holidays: [2026-03-09]"
    )
    level = Enforcer(load(tmp_path, f"sla: {{{P1}, clock: {{{clock}}}}}"), accounts={"x": "one"}).sla("x", "p1")

    assert datetime(2026, 3, 3, 3, tzinfo=UTC) == level.response.due(datetime(2026, 3, 2, 9, tzinfo=UTC))
    assert datetime(2026, 3, 17, 3, tzinfo=UTC) == level.response.due(datetime(2026, 3, 9, 9, tzinfo=UTC))


def test_values_of_add_ons_are_read_on_top_of_the_tiers(tmp_path):
    (problem,) = problems_of(tmp_path, "uptime: {guarantee: 99.9}", "{uptime: {credits: [{below: 95, credits: 9}]}}")

    assert ("add_ons.more.values.uptime.credits[0].credits", 4) == (problem.path, problem.line)


def test_an_override_that_cannot_be_read_is_a_bad_account(tmp_path):
    policy = load(tmp_path, f"sla: {{{P1}, clock: {{{CLOCK}}}}}")
    override = Override("sla.clock.zone", "Mars/Olympus", reason="moved", author="ops")

    with pytest.raises(AccountError, match="not a time zone"):
        Enforcer(policy).sla(Account("x", "one", overrides=[override]), "p1")


def test_an_inherited_fault_is_reported_once(tmp_path):
    (problem,) = problems_of(tmp_path, "uptime: {guarante: 99.9}\n  two: {rank: 2, extends: one}")

    assert "tiers.one.values.uptime.guarante" == problem.path
