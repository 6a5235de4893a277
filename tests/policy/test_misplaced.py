"""A key, a word or a quantity that has no meaning where it stands: the problem names the form that has it."""

from __future__ import annotations

import pytest

from entitlements import Policy, PolicyError
from entitlements.cli import main


def problem_of(limit=None, size=5, *, tier=(), add_on=None, head=(), unit="unit"):
    """Return the only problem of a policy with one limit, one tier and perhaps one add-on."""
    definition = {"kind": "quota", "unit": unit} if limit is None else limit
    mapping = {
        "policy": {"version": "1", **dict(head)},
        "limits": {"leads": definition},
        "tiers": {"pro": {"rank": 1, "limits": {"leads": size}, **dict(tier)}},
    }
    if add_on is not None:
        mapping["add_ons"] = {"more": {"limits": {"leads": add_on}}}
    with pytest.raises(PolicyError) as raised:
        Policy.parse(mapping)
    (found,) = raised.value.problems
    return f"{found.path}: {found.problem}; {found.cure}"


ALLOCATION, RATE, QUOTA = ({"kind": kind} for kind in ("allocation", "rate", "quota"))


@pytest.mark.parametrize(
    ("limit", "size", "said"),
    [
        (ALLOCATION | {"period": "day"}, 5, "period on a limit of kind allocation: an allocation holds units until they are released; leave it out, or write kind: quota"),
        (ALLOCATION | {"burst": 5}, 5, "only a rate, a token bucket, has a burst; leave it out"),
        (RATE | {"period": "day"}, "5 per hour", "only a quota has periods; write the window in its sizes, such as '100 per hour', or kind: quota"),
        (RATE | {"window": "hour"}, "5 per hour", "the sizes of a rate name its window; write them such as '100 per hour'"),
        (QUOTA | {"window": "day"}, 5, "only a rate has a window; write a period, such as period: day"),
        (QUOTA | {"overage": "allow"}, 5, "write it with the size, in a tier: limits: {leads: {included: 5000, overage: allow}}"),
        (QUOTA | {"size": 5}, 5, "write the size in a tier, under its limits"),
    ],
)  # fmt: skip
def test_a_key_of_another_kind_of_limit(limit, size, said):
    assert said in problem_of(limit, size)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ({"included": 50, "overage": True}, "overage: True is no number of units; write allow"),
        ({"included": 50, "overage": False}, "overage: False is no number of units; write 50 alone"),
        ({"included": 50, "overage": "20%"}, "overage: '20%' is no number of units; write 10, which is 20% of 50"),
        ({"included": 50, "overage": "alow"}, "overage: 'alow' is no number of units; did you mean 'allow'?"),
        ({"included": 50, "overage": "deny"}, "overage: 'deny' is no number of units; write 50 alone"),
        ({"included": 50, "overage": "unlimited"}, "overage: 'unlimited' is no number of units; write overage: allow"),
        ({"included": 50, "overage": "1 000"}, "overage: '1 000' has separators in it; write allow, or 0 or more"),
        ({"included": 50}, "included: 50 has no overage beside it; write overage: allow, or 50 alone"),
        ({"overage": 50}, "overage: 50 has no included beside it; write included: 5000"),
        ({"sets": 50}, "only an add-on adds or sets; write the size"),
    ],
)  # fmt: skip
def test_an_overage_that_is_none(size, said):
    assert said in problem_of(size=size)


def test_an_overage_beside_the_limits_of_a_tier_belongs_to_a_size():
    said = problem_of(tier={"limits": {"leads": 5, "overage": "allow"}})

    assert "tiers.pro.limits.overage: overage is a part of a size, and no limit; write {leads: {included: 5000" in said


@pytest.mark.parametrize(
    ("word", "cure"),
    [("set", "did you mean 'sets'?"), ("add", "did you mean 'adds'?"), ("x", "write adds or sets, such as {adds: 5}")],
)
def test_a_word_that_is_nearly_one_of_an_add_on(word, cure):
    assert cure in problem_of(add_on={word: 5})


@pytest.mark.parametrize(
    ("word", "cure"), [("yes", "true"), ("off", "false"), ("maybe", "true or false"), (1, "true or false")]
)
def test_a_yes_that_is_a_text(word, cure):
    said = problem_of(tier={"retired": word})

    assert f"tiers.pro.retired: {word!r} is neither true nor false; write {cure}, without quotes" == said


@pytest.mark.parametrize(
    ("zone", "cure"),
    [
        ("CEST", "write the IANA name of a place, such as Europe/Berlin, which says when clocks change"),
        ("PST", "write the IANA name of a place"),
        ("+02:00", "write the IANA name of a place"),
        ("GMT+2", "write the IANA name of a place"),
        ("utc", "did you mean 'UTC'?"),
        ("berlin", "did you mean 'Europe/Berlin'?"),
        ("New York", "did you mean 'America/New_York'?"),
        ("Europe/Berlim", "did you mean 'Europe/Berlin'?"),
    ],
)
def test_a_time_zone_is_the_name_of_a_place(zone, cure):
    assert f"{zone!r} is not a time zone; {cure}" in problem_of(head={"time_zone": zone})


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        ("5 per", "'5 per' names no window; write '5 per hour'"),
        ("5 per 0 seconds", "the shortest window is a second; write '5 per second', or per a longer one"),
        ("5 per 1ms", "the shortest window is a second"),
        ("5 per 1.5 hours", "a window is a whole number of its unit; write '5 per 90 minutes'"),
        ("5 per 1.5 s", "a window is whole seconds; write '5 per 2 seconds'"),
        ("5 per fortnight", "write '5 per 14 days'"),
        ("5 per secnd", "'secnd' is no window; did you mean 'second'?"),
        ("5 per seat", "'seat' is no window; write second, minute, hour or day"),
    ],
)
def test_a_window_that_no_rate_has(rate, said):
    assert said in problem_of(RATE, rate)


def test_a_price_list_in_place_of_a_policy_is_one_problem(tmp_path, capsys):
    (tmp_path / "prices.yml").write_text("saasName: x\nfeatures: {a: {valueType: BOOLEAN}}\nplans: {b: {price: 1}}\n")

    assert 1 == main(["validate", str(tmp_path / "prices.yml")])
    said = " ".join(capsys.readouterr().out.split())

    assert "prices.yml:1: the file is a price list in the Pricing2Yaml format, and no policy; make one of it" in said
    assert "1 error" in said


def test_a_folder_in_place_of_an_output_is_named(tmp_path, capsys):
    code = main(["import", "pricing2yaml", "tests/pricing2yaml/lists/darkroom-1.yml", "-o", str(tmp_path)])

    assert 4 == code
    assert f"{tmp_path} is a folder; name a file, such as" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"add_ons": {"more": {"limits": {"leads": 5}, "step": 2, "at_most": 5}}}, "5 is no multiple of the step, 2, so 4 can be bought at most; write 4"),
        ({"add_ons": {"more": {"about": "Nothing"}}}, "'more' gives nothing to those who buy it; write features, levels, limits or values"),
        ({"policy": {"version": "1", "unknown_account": "old"}}, "'old' is retired, and unknown accounts would have it; name a tier that is sold, or write deny or raise"),
    ],
)  # fmt: skip
def test_what_is_of_no_use_is_a_warning(sections, said):
    tiers = {"pro": {"rank": 2, "limits": {"leads": 5}}, "old": {"rank": 1, "retired": True}}
    mapping = {"policy": {"version": "1"}, "limits": {"leads": {"kind": "quota"}}, "tiers": tiers} | sections

    (found,) = Policy.parse(mapping).warnings

    assert f"{found.problem}; {found.cure}" == said
