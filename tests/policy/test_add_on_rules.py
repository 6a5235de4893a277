"""Rules of add-ons, product lines and retired tiers: what a policy may say, and what is reported with its line."""

from __future__ import annotations

import pytest

from entitlements import Policy, PolicyError
from entitlements.cli import main

BASE = """\
policy: {version: 1}
features: {sso: Single sign-on}
limits: {seats: {kind: allocation}}
tiers:
  free: {rank: 1, limits: {seats: 10}}
  pro: {rank: 2, features: [sso], limits: {seats: 100}}
"""


def problems(tmp_path, text):
    """Return the problems and warnings of BASE and *text*, without the folder."""
    (tmp_path / "policy.yaml").write_text(BASE + text, encoding="utf-8")
    try:
        found = Policy.load(tmp_path / "policy.yaml").warnings
    except PolicyError as error:
        found = error.problems
    return [f"{each.line}: {each.path}: {each.problem}; {each.cure}" for each in found]


@pytest.mark.parametrize(
    ("add_ons", "said"),
    [
        (
            "  a: {features: [sso], requires: [b]}\n  b: {features: [sso], requires: [c]}\n  c: {features: [sso], requires: [a]}\n",
            "10: add_ons.c.requires[0]: the add-ons require each other in a circle: 'a' requires 'b' requires 'c' requires 'a'; remove one of them from requires",
        ),
        (
            "  a: {features: [sso], requires: [b], excludes: [b]}\n  b: {features: [sso]}\n",
            "8: add_ons.a.excludes[0]: 'a' excludes 'b', and 'a' requires 'b'; remove one of the two; as it is, 'a' cannot be bought",
        ),
        (
            "  a: {features: [sso], requires: [b]}\n  b: {features: [sso], requires: [c]}\n  c: {features: [sso], excludes: [a]}\n",
            "10: add_ons.c.excludes[0]: 'c' excludes 'a', and 'a' requires 'c'; remove one of the two; as it is, 'a' cannot be bought",
        ),
        (
            "  a: {features: [sso], requires: [b, c]}\n  b: {features: [sso]}\n  c: {features: [sso], excludes: [b]}\n",
            "8: add_ons.a.requires: 'a' requires 'b' and 'c', which exclude each other; remove one of the two",
        ),
        ("  a: {features: [sso], requires: [a]}\n", "8: add_ons.a.requires[0]: 'a' requires itself; name another add-on, or leave it out"),
        ("  aa: {features: [sso], requires: [bb]}\n  bbb: {features: [sso]}\n", "8: add_ons.aa.requires[0]: there is no add-on 'bb'; did you mean 'bbb'?"),
        ("  a: {features: [sso], at_least: 3, step: 2}\n", "8: add_ons.a.at_least: 3 is no multiple of the step, 2; write 4, or another step"),
        ("  a: {features: [sso], step: 4, at_most: 3}\n", "8: add_ons.a.at_most: at_most is 3, below the least quantity 4; write 4 or more"),
        ("  a: {features: [sso], step: 0}\n", "8: add_ons.a.step: 0 is below 1; write 1 or more"),
        (
            "  a: {limits: {seats: {adds: 5, sets: 7}}}\n",
            "8: add_ons.a.limits.seats: 'seats' says adds, sets; write one of the two, such as {adds: 5} or {sets: 500}",
        ),
        ("  a: {limits: {seats: {sets: many}}}\n", "8: add_ons.a.limits.seats.sets: 'many' is not a size; write a whole number such as 100, unlimited or not-included"),
        ("  a: {limits: {seats: {sets: not-included}}}\n", "8: add_ons.a.limits.seats: an add-on cannot take away; remove the key; an override takes away"),
        (
            "  a: {limits: {seats: {sets: 50}}}\n",
            "8: add_ons.a.limits.seats.sets: it sets 50 where tier 'pro' has 100, so buyers lose units; do not offer it to 'pro', or write adds",
        ),
        (
            "  a: {features: [sso], requires: [b]}\n  b: {features: [sso], tiers: [pro]}\n",
            "8: add_ons.a.requires: 'b', which it requires, is not offered to 'free'; offer 'b' there too, or 'a' elsewhere",
        ),
        (
            "  a: {features: [sso], requires: [b]}\n  b: {features: [sso], retired: true}\n",
            "8: add_ons.a.requires: 'b', which it requires, is retired; write retired: true here too, or sell 'b'",
        ),
    ],
)  # fmt: skip
def test_rules_of_add_ons_that_contradict_are_reported_with_their_line(tmp_path, add_ons, said):
    assert [said] == problems(tmp_path, f"add_ons:\n{add_ons}")


def test_a_tier_has_no_adds_and_sets(tmp_path):
    assert ["7: tiers.big.limits.seats: only an add-on adds or sets; write the size"] == problems(
        tmp_path, "  big: {rank: 3, features: [sso], limits: {seats: {sets: 5}}}\n"
    )  # fmt: skip


def test_ranks_are_compared_within_a_line_only(tmp_path):
    """A high rank of another product line may have less; a high rank of the same line is warned of."""
    assert [] == problems(tmp_path, "  viewer: {rank: 9, line: viewer}\n")
    assert 2 == len(problems(tmp_path, "  viewer: {rank: 9}\n"))


def test_a_retired_tier_may_have_more_than_a_higher_one(tmp_path):
    assert [] == problems(tmp_path, "  old: {rank: 1, retired: true, limits: {seats: 1000}}\n")


def test_a_trial_ends_in_its_own_line(tmp_path):
    text = "  viewer: {rank: 1, line: viewer}\n  try: {rank: 1, line: viewer, trial: {of: 14 days, then: free}}\n"

    assert ["8: tiers.try.trial.then: 'free' is in another product line; name a tier of line 'viewer'"] == problems(
        tmp_path, text
    )


def test_what_recommends_a_retired_tier_is_warned_of(tmp_path):
    text = (
        "  old: {rank: 3, retired: true, features: [sso], limits: {seats: 200}}\n"
        "assignment:\n"
        "  criteria: {arr: {kind: amount}}\n"
        "  binding: arr\n"
        "  rules: [{tier: old, when: {arr: {from: 100}}}, {tier: pro}]\n"
    )

    assert ["11: assignment.rules[0].tier: 'old' is retired, and nothing recommends it; name a tier that is sold"] == (
        problems(tmp_path, text)
    )


SOLD = """\
  old: {rank: 1, retired: true, limits: {seats: 5}}
  viewer: {rank: 1, line: viewer, limits: {seats: 1}}
add_ons:
  more: {limits: {seats: 5}, tiers: [free, pro]}
  former: {limits: {seats: 5}, retired: true}
"""


@pytest.mark.parametrize(
    ("options", "tiers", "add_ons"),
    [
        ((), ["pro", "free", "viewer"], ["more"]),
        (("--line", "viewer"), ["viewer"], []),
        (("--retired",), ["pro", "free", "old", "viewer"], ["more", "former"]),
    ],
)
def test_the_comparison_shows_what_is_sold(tmp_path, capsys, options, tiers, add_ons):
    import json

    (tmp_path / "policy.yaml").write_text(BASE + SOLD, encoding="utf-8")
    assert 0 == main(["tiers", "--policy", str(tmp_path / "policy.yaml"), "--json", *options])
    shown = json.loads(capsys.readouterr().out)

    assert (tiers, add_ons) == ([each["id"] for each in shown["tiers"]], list(shown.get("add-ons", {})))
    for form in ("table", "markdown", "html"):
        assert 0 == main(["tiers", "--policy", str(tmp_path / "policy.yaml"), "--format", form, *options])
        assert ("former" in capsys.readouterr().out) == ("former" in add_ons)


def test_a_line_that_there_is_not_is_told(tmp_path, capsys):
    (tmp_path / "policy.yaml").write_text(BASE + SOLD, encoding="utf-8")

    assert 2 == main(["tiers", "--policy", str(tmp_path / "policy.yaml"), "--line", "viewers"])
    assert "--line 'viewers' is no line of policy 1; did you mean 'viewer'?" in " ".join(
        capsys.readouterr().err.split()
    )


def test_the_comparison_names_the_rules_of_an_add_on(tmp_path, capsys):
    text = (
        "add_ons:\n"
        "  base: {about: The base, features: [sso], excludes: [other]}\n"
        "  packs: {limits: {seats: 5}, requires: [base], step: 4, at_most: 12}\n"
        "  other: {limits: {seats: 1}, at_least: 2}\n"
    )
    (tmp_path / "policy.yaml").write_text(BASE + text, encoding="utf-8")

    assert 0 == main(["tiers", "--policy", str(tmp_path / "policy.yaml"), "--format", "html"])
    page = capsys.readouterr().out

    assert all(
        f"<small>{about}</small>" in page
        for about in ("The base; not with other", "requires base; 4 to 12 in steps of 4", "2 or more")
    )


def test_each_line_is_compared_in_a_table_of_its_own(tmp_path, capsys):
    (tmp_path / "policy.yaml").write_text(BASE + SOLD, encoding="utf-8")
    shown = {}
    for form in ("table", "markdown", "html"):
        assert 0 == main(["tiers", "--policy", str(tmp_path / "policy.yaml"), "--format", form])
        shown[form] = capsys.readouterr().out

    assert "line viewer\n" in shown["table"]
    assert "| `seats` | 100 | 10 |" in shown["markdown"]
    assert "# Tiers of viewer, policy 1" in shown["markdown"]
    assert "| `seats` | 1 |" in shown["markdown"]
    assert 2 == shown["html"].count("<table>") == shown["html"].count('<th scope="row">seats</th>')
    assert "<h2>Tiers of viewer, policy 1</h2>" in shown["html"]


def test_a_policy_whose_tiers_are_all_retired_says_how_to_see_them(tmp_path, capsys):
    text = BASE.replace("{rank: 1,", "{rank: 1, retired: true,").replace("{rank: 2,", "{rank: 2, retired: true,")
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")

    assert 2 == main(["tiers", "--policy", str(tmp_path / "policy.yaml")])
    assert "policy 1 sells none of these tiers any more; add --retired" in " ".join(capsys.readouterr().err.split())
    assert 0 == main(["tiers", "--policy", str(tmp_path / "policy.yaml"), "--retired"])
