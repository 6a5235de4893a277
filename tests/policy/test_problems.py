"""All problems of all files at once, each with its line, its path and the cure."""

import pytest

from entitlements.errors import PolicyError
from entitlements.model.problem import Severity
from entitlements.policy import Policy

SOUND = """\
policy: {version: 1}
features:
  sso: Single sign-on
  api-access: Calls to the API
levels:
  analytics: [none, standard, advanced]
limits:
  api: {kind: rate}
  leads: {kind: quota}
  storage: {kind: allocation, unit: byte}
tiers:
  free:
    rank: 1
    features: []
    levels: {analytics: none}
    limits: {api: 0 per hour, leads: 10, storage: 1 GB}
  pro:
    rank: 2
    features: [sso, api-access]
    levels: {analytics: standard}
    limits: {api: 100 per hour, leads: unlimited, storage: 1 TB}
  test:
    rank: 2
    extends: pro
    trial: {of: 14 days, from: 7 days, to: 30 days, then: free}
add_ons:
  more-leads: {tiers: [pro], limits: {leads: 100}}
"""


def report(folder, *changes, **files):
    """Return the problems of SOUND with *changes*, pairs of old and new text, and of more *files*."""
    text = SOUND
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in SOUND"
        text = text.replace(old, new)
    (folder / "p.yaml").write_text(text)
    for name, more in files.items():
        (folder / f"{name}.yaml").write_text(more)
    try:
        found = Policy.load(folder).warnings
    except PolicyError as error:
        found = error.problems
        assert any(each.severity is Severity.ERROR for each in found)
    return [str(each).replace(f"{folder}/", "") for each in found]


def test_the_sound_policy_has_no_problem(tmp_path):
    """The tables below make changes to a valid policy."""
    assert [] == report(tmp_path)


@pytest.mark.parametrize(
    ("change", "where", "says"),
    [
        # the head
        (("version: 1}", "}"), "p.yaml:1: policy.version", "write policy: {version: 1}"),
        (("version: 1}", "version: 1.10}"), "p.yaml:1: policy.version", "quote it"),
        (("version: 1}", "version: }"), "p.yaml:1: policy.version", "nothing is written here"),
        (("version: 1}", 'version: ""}'), "p.yaml:1: policy.version", "says nothing"),
        (("version: 1}", f"version: {'v' * 300}}}"), "p.yaml:1: policy.version", "1 to 256 characters"),
        (("version: 1}", "vresion: 1, version: 1}"), "p.yaml:1: policy.vresion", "did you mean 'version'?"),
        (("version: 1}", "version: 1, currency: dollars}"), "p.yaml:1: policy.currency", "such as USD"),
        (
            ("version: 1}", "version: 1, unknown_account: fre}"),
            "p.yaml:1: policy.unknown_account",
            "did you mean 'free'?, or write deny or raise",
        ),
        (("version: 1}", "version: 1, unknown_account: test}"), "p.yaml:1: policy.unknown_account", "is a trial plan"),
        (("add_ons:", "add-ons:"), "p.yaml:26: add-ons", "did you mean 'add_ons'?"),
        # names
        (
            ("  sso: Single", "  Single Sign-On: x\n  sso: Single"),
            "p.yaml:3: features.'Single Sign-On'",
            "'Single-Sign-On'",
        ),
        (("  sso: Single sign-on", "  sso: 5"), "p.yaml:3: features.sso", "write one sentence about it"),
        (("  sso: Single sign-on", "  sso:"), "p.yaml:3: features.sso", "nothing is written here"),
        (("  leads: {kind", "  sso: {kind: quota}\n  leads: {kind"), "p.yaml:9: limits.sso", "features (p.yaml:3)"),
        (
            ("  analytics: [none", "  sso: [a, b]\n  analytics: [none"),
            "p.yaml:6: levels.sso",
            "already defined under features",
        ),
        (
            ("    trial: {of", "    values: {sso: {x: y}}\n    trial: {of"),
            "p.yaml:25: tiers.test.values.sso.x",
            "p.yaml:3",
        ),
        (
            ("    trial: {of", "    values: {api: {x: y}}\n    trial: {of"),
            "p.yaml:25: tiers.test.values.api.x",
            "a limit",
        ),
        (
            ("    trial: {of", "    values: {analytics: y}\n    trial: {of"),
            "p.yaml:25: tiers.test.values.analytics",
            "levels",
        ),
        (("[none, standard, advanced]", "[standard]"), "p.yaml:6: levels.analytics", "two or more"),
        (("[none, standard, advanced]", "[none, standard, standard]"), "p.yaml:6: levels.analytics[2]", "stands twice"),
        (("[none, standard, advanced]", "[none, 1, standard]"), "p.yaml:6: levels.analytics[1]", "is not a text"),
        (("[none, standard, advanced]", "[standard, none]"), "p.yaml:6: levels.analytics", "is not the lowest level"),
        (("[none, standard, advanced]", "standard"), "p.yaml:6: levels.analytics", "lowest first"),
        (("[none, standard, advanced]", "[none, standard, not-included]"), "p.yaml:6: levels.analytics", "is no level"),
        (("[none, standard, advanced]", "[none, standard, None]"), "p.yaml:6: levels.analytics", "call it 'none'"),
        # definitions
        (("{kind: rate}", "{kind: rat}"), "p.yaml:8: limits.api", "did you mean 'rate'?"),
        (("{kind: rate}", "{unit: call}"), "p.yaml:8: limits.api", "has no kind"),
        (("{kind: rate}", "100 per hour"), "p.yaml:8: limits.api", "{kind: rate}, {kind: quota}"),
        (("{kind: rate}", "{kind: rate, algorithm: slidng}"), "p.yaml:8: limits.api.algorithm", "'sliding'"),
        (("{kind: rate}", "{kind: rate, burst: 5}"), "p.yaml:8: limits.api.burst", "only a token bucket has a burst"),
        (
            ("{kind: rate}", "{kind: rate, algorithm: token-bucket, burst: 0}"),
            "p.yaml:8: limits.api.burst",
            "write 1 or more",
        ),
        (("{kind: rate}", "{kind: rate, deadline: 50}"), "p.yaml:8: limits.api.deadline", "'50 ms'"),
        (("{kind: rate}", "{kind: rate, deadline: 0 ms}"), "p.yaml:8: limits.api.deadline", "write one above 0"),
        (
            ("{kind: rate}", "{kind: rate, period: month}"),
            "p.yaml:8: limits.api.period",
            "period on a limit of kind rate: only a quota has periods",
        ),
        (("{kind: rate}", "{kind: rate, mode: off}"), "p.yaml:8: limits.api.mode", "write enforce or shadow"),
        (
            ("{kind: quota}", "{kind: quota, on_outage: local}"),
            "p.yaml:9: limits.leads.on_outage",
            "write allow or deny",
        ),
        (("{kind: quota}", "{kind: quota, burst: 5}"), "p.yaml:9: limits.leads.burst", "has a burst; leave it out"),
        (("{kind: quota}", "{kind: quota, period: hour}"), "p.yaml:9: limits.leads.period", "'100 per hour'"),
        (("{kind: quota}", "{kind: quota, period: Yearly}"), "p.yaml:9: limits.leads.period", "did you mean 'year'?"),
        (
            ("{kind: quota}", "{kind: quota, period: quarter}"),
            "p.yaml:9: limits.leads.period",
            "write day, week, month, year or lifetime",
        ),
        (
            ("{kind: allocation, unit: byte}", "{kind: allocation, unit: byte, on_outage: local}"),
            "p.yaml:10: limits.storage.on_outage",
            "write allow or deny",
        ),
        # tiers
        (("    rank: 1\n", ""), "p.yaml:12: tiers.free.rank", "has no rank; write rank: 1"),
        (("    rank: 1\n", "    rank: first\n"), "p.yaml:13: tiers.free.rank", "is not a whole number"),
        (("    rank: 1\n", "    rank: -1\n"), "p.yaml:13: tiers.free.rank", "write 0 or more"),
        (("    rank: 1\n", "    rank: 1\n    feature: [sso]\n"), "p.yaml:14: tiers.free.feature", "'features'?"),
        (
            ("features: [sso, api-access]", "features: [ss0, api-access, sso]"),
            "p.yaml:19: tiers.pro.features[0]",
            "'sso'?",
        ),
        (
            ("features: [sso, api-access]", "features: [SSO, api-access, sso]"),
            "p.yaml:19: tiers.pro.features[0]",
            "did you mean 'sso'?",
        ),
        (("features: [sso, ", "features: [leads, sso, "), "p.yaml:19: tiers.pro.features[0]", "write it under limits"),
        (("features: [sso, ", "features: [sso, sso, "), "p.yaml:19: tiers.pro.features[1]", "stands twice"),
        (
            ("features: [sso, ", "features: ['analytics:standard', sso, "),
            "p.yaml:19: tiers.pro.features[0]",
            "write it under levels, as analytics: standard",
        ),
        (("analytics: standard}", "analytics: standrad}"), "p.yaml:20: tiers.pro.levels.analytics", "'standard'?"),
        (
            ("{analytics: standard}", "{analytic: none, analytics: standard}"),
            "p.yaml:20: tiers.pro.levels.analytic",
            "?",
        ),
        (("{analytics: standard}", "{sso: none, analytics: standard}"), "p.yaml:20: tiers.pro.levels.sso", "features"),
        (("leads: 10,", "lead: 10,"), "p.yaml:16: tiers.free.limits.lead", "did you mean 'leads'?"),
        (("    extends: pro\n", "    extends: pr\n"), "p.yaml:24: tiers.test.extends", "did you mean 'pro'?"),
        (("    extends: pro\n", "    extends: test\n"), "p.yaml:24: tiers.test.extends", "'test' extends itself"),
        (
            ("    rank: 2\n    features:", "    rank: 2\n    extends: test\n    features:"),
            "p.yaml:25: tiers.test.extends",
            "'pro' extends 'test' extends 'pro'",
        ),
        (
            ("    rank: 1\n", "    rank: 1\n    aliases: [pro]\n"),
            "p.yaml:14: tiers.free.aliases[0]",
            "is the id of a tier",
        ),
        (("    rank: 1\n", "    rank: 1\n    aliases: [a, a]\n"), "p.yaml:14: tiers.free.aliases[1]", "stands twice"),
        (
            ("    extends: pro\n", "    extends: pro\n    without: [ss0]\n"),
            "p.yaml:25: tiers.test.without[0]",
            "nothing is called 'ss0'; did you mean 'sso'?",
        ),
        (
            ("    extends: pro\n", "    extends: pro\n    without: [sso]\n    features: [sso]\n"),
            "p.yaml:25: tiers.test.without[0]",
            "dropped and given",
        ),
        (("  free:\n", "  deny: {rank: 1}\n  free:\n"), "p.yaml:12: tiers.deny", "is a word of unknown_account"),
        (("  free:\n", "  unknown_account: {rank: 1}\n  free:\n"), "p.yaml:12: tiers.unknown_account", "another name"),
        # sizes
        (("leads: 10,", "leads: -1,"), "p.yaml:16: tiers.free.limits.leads", "write unlimited, 0 or not-included"),
        (("leads: 10,", "leads: .inf,"), "p.yaml:16: tiers.free.limits.leads", "write unlimited"),
        (("leads: 10,", "leads: 1.5,"), "p.yaml:16: tiers.free.limits.leads", "is not a whole number"),
        (("leads: 10,", "leads: true,"), "p.yaml:16: tiers.free.limits.leads", "is not a whole number"),
        (("leads: 10,", "leads: ,"), "p.yaml:16: tiers.free.limits.leads", "nothing is written here"),
        (("leads: 10,", "leads: 10 GB,"), "p.yaml:16: tiers.free.limits.leads", "unit: byte"),
        (("leads: 10,", "leads: [10],"), "p.yaml:16: tiers.free.limits.leads", "is not a whole number"),
        (("leads: 10,", f"leads: {2**53},"), "p.yaml:16: tiers.free.limits.leads", "above the largest count"),
        (("api: 100 per hour", "api: 100"), "p.yaml:21: tiers.pro.limits.api", "write '100 per hour'"),
        (("api: 100 per hour", 'api: "10,000 per hour"'), "p.yaml:21: tiers.pro.limits.api", "write '10000 per hour'"),
        (("api: 100 per hour", "api: 100 per month"), "p.yaml:21: tiers.pro.limits.api", "write a quota"),
        (("api: 100 per hour", "api: 100 per week"), "p.yaml:21: tiers.pro.limits.api", "write '100 per 7 days'"),
        (("storage: 1 GB", "storage: 0.3 KiB"), "p.yaml:16: tiers.free.limits.storage", "write 307 B"),
        (
            ("api: 100 per hour", "api: 4294967296 per hour"),
            "p.yaml:21: tiers.pro.limits.api",
            "above the largest rate",
        ),
        (
            ("api: 100 per hour", "api: 100 per minute"),
            "p.yaml:21: tiers.pro.limits.api",
            "p.yaml:16, which counts per hour",
        ),
        (
            ("{leads: 100}", "{leads: 100, api: 5 per day}"),
            "p.yaml:27: add_ons.more-leads.limits.api",
            "write it per hour",
        ),
        # trials
        (("then: free", "then: fre"), "p.yaml:25: tiers.test.trial.then", "did you mean 'free'?"),
        (("then: free", "then: test"), "p.yaml:25: tiers.test.trial.then", "ends in itself"),
        ((", then: free", ""), "p.yaml:25: tiers.test.trial.then", "then is missing"),
        (("from: 7 days", "from: 31 days"), "p.yaml:25: tiers.test.trial.from", "from is longer than to"),
        (("of: 14 days", "of: 31 days"), "p.yaml:25: tiers.test.trial.of", "of is not within from and to"),
        (("of: 14 days", "of: 2 weeks or so"), "p.yaml:25: tiers.test.trial.of", "is not a duration"),
        (
            ("    rank: 2\n    extends", "    rank: 0\n    extends"),
            "p.yaml:25: tiers.test.trial.then",
            "has a higher rank",
        ),
        # add-ons
        (("{tiers: [pro], ", "{tiers: [prof], "), "p.yaml:27: add_ons.more-leads.tiers[0]", "did you mean 'pro'?"),
        (("{leads: 100}", "{laeds: 100}"), "p.yaml:27: add_ons.more-leads.limits.laeds", "did you mean 'leads'?"),
        (("{leads: 100}", "{leads: not-included}"), "p.yaml:27: add_ons.more-leads.limits.leads", "cannot take away"),
        (("{leads: 100}}", "{leads: 100}, price: 5}"), "p.yaml:27: add_ons.more-leads.price", "500 per year"),
        (("{leads: 100}}", "{leads: 100}, rank: 5}"), "p.yaml:27: add_ons.more-leads.rank", "unknown key"),
        (
            ("{leads: 100}}", "{leads: 100}, features: [no]}"),
            "p.yaml:27: add_ons.more-leads.features[0]",
            "no feature 'no'",
        ),
        (
            ("{leads: 100}}", "{leads: 100}, values: {x: not-included}}"),
            "p.yaml:27: add_ons.more-leads.values.x",
            "cannot take away",
        ),
        # in no tier
        (
            ("features: [sso, api-access]", "features: [api-access]"),
            "p.yaml:3: features.sso",
            "no tier and no add-on has",
        ),
    ],
)
def test_a_wrong_line_is_one_problem(tmp_path, change, where, says):
    """It has the line, the value and the cure; it causes no further problem."""
    (line,) = report(tmp_path, change)

    assert line.startswith(f"{where}: ")
    assert says in line
    assert "; " in line


@pytest.mark.parametrize(
    ("change", "where", "says"),
    [
        (
            ("  leads: {kind", "  other: {kind: quota}\n  leads: {kind"),
            "p.yaml:9: warning: limits.other",
            "no tier names",
        ),
        (
            ("leads: unlimited,", "leads: 9,"),
            "p.yaml:16: warning: tiers.free.limits.leads",
            "tier 'free' has more of 'leads' (10) than the higher 'pro' (9)",
        ),
        (
            (", leads: unlimited", ""),
            "p.yaml:16: warning: tiers.free.limits.leads",
            "than the higher 'pro' (not-included)",
        ),
        (
            ("analytics: none}", "analytics: advanced}"),
            "p.yaml:15: warning: tiers.free.levels.analytics",
            "(advanced) than the higher 'pro' (standard)",
        ),
        (
            ("    extends: pro\n", "    extends: pro\n    without: [hotline]\n    values: {hotline: true}\n"),
            "p.yaml:25: warning: tiers.test.without[0]",
            "is not inherited",
        ),
        (
            ("api: 0 per hour", "api: 1 per hour"),
            "p.yaml:12: warning: tiers.free",
            "has 'api' and not 'api-access', two names for one fact",
        ),
    ],
)
def test_what_is_odd_but_usable_is_a_warning(tmp_path, change, where, says):
    """The policy loads and has the warning."""
    (line,) = report(tmp_path, change)

    assert line.startswith(f"{where}: ")
    assert says in line


def test_as_much_in_a_lower_tier_is_not_odd(tmp_path):
    """Only more in a lower tier is a warning."""
    assert [] == report(tmp_path, ("leads: 10,", "leads: unlimited,"))


def test_a_lower_tier_with_a_switch_that_a_higher_one_lacks_is_odd(tmp_path):
    """Switches are compared like sizes."""
    (line,) = report(tmp_path, ("features: []", "features: [beta]"), ("  sso: ", "  beta: New things\n  sso: "))

    assert line.startswith("p.yaml:15: warning: tiers.free.features[0]: tier 'free' has 'beta', and the higher ")


@pytest.mark.parametrize("less", ["leads: 0,", "leads: not-included,"], ids=["zero", "not-included"])
def test_a_higher_tier_that_says_it_goes_without_is_meant(tmp_path, less):
    """0 and not-included are written on purpose."""
    assert [] == report(tmp_path, ("leads: unlimited,", less))


def test_a_switch_called_like_a_level_is_the_same_fact(tmp_path):
    """The warnings name the tiers in which the two disagree."""
    lines = report(
        tmp_path,
        ("  sso: Single", "  standard: Standard analytics\n  sso: Single"),
        ("features: []", "features: [standard]"),
        ("features: [sso, ", "features: [standard, sso, "),
    )

    assert [
        "p.yaml:13: warning: tiers.free: tier 'free' has 'standard' and not 'analytics:standard', two names for one fact"
    ] == [line.split("; ")[0] for line in lines]


def test_a_faulty_tier_is_not_compared(tmp_path):
    """The faulty line may contain what it lacks."""
    (line,) = report(tmp_path, ("leads: unlimited,", "laeds: unlimited,"))

    assert "did you mean 'leads'?" in line


def test_tiers_of_one_rank_may_differ_as_they_like(tmp_path):
    """Only tiers of different ranks are compared."""
    change = ("    extends: pro\n", "    extends: pro\n    features: []\n    limits: {leads: 11, storage: 2 TB}\n")

    assert [] == report(tmp_path, change)


def test_one_report_holds_every_problem_of_every_file(tmp_path):
    """In the order of files and lines; a second load finds nothing new."""
    lines = report(
        tmp_path,
        ("{kind: rate}", "{kind: rate, algorithm: slidng}"),
        ("features: [sso, api-access]", "features: [sso, api-acess]"),
        ("api: 100 per hour", "api: 100"),
        ("then: free", "then: test"),
        a="add_ons:\n  x: {tiers: [por], features: [sso]}\n  y: {prise: 5, features: [sso]}\n",
        z="tiers:\n  pro: {rank: 3, values: {x: , sso: 1}}\nlevels: {one: [a]}\n",
    )

    assert [
        "a.yaml:2: add_ons.x.tiers[0]",
        "a.yaml:3: add_ons.y.prise",
        "p.yaml:8: limits.api.algorithm",
        "p.yaml:19: tiers.pro.features[1]",
        "p.yaml:21: tiers.pro.limits.api",
        "p.yaml:25: tiers.test.trial.then",
        "z.yaml:2: tiers.pro.rank",
        "z.yaml:2: tiers.pro.values.x",
        "z.yaml:2: tiers.pro.values.sso",
        "z.yaml:3: levels.one",
    ] == [": ".join(line.split(": ")[:2]) for line in lines]


def test_what_is_missing_from_a_folder_is_a_problem_of_the_folder(tmp_path):
    """Its location is the folder."""
    (tmp_path / "a.yaml").write_text("features: {}\n")

    with pytest.raises(PolicyError) as error:
        Policy.load(tmp_path)

    assert [(str(tmp_path), 0, "policy.version"), (str(tmp_path), 0, "tiers")] == [
        (each.file, each.line, each.path) for each in error.value.problems
    ]


def test_problems_of_a_mapping_have_no_line():
    """Their file is <mapping>."""
    with pytest.raises(PolicyError) as error:
        Policy.parse({"policy": {"version": 1}, "tiers": {"free": {"rank": "one"}}})

    (problem,) = error.value.problems
    assert ("<mapping>", 0, "tiers.free.rank") == (problem.file, problem.line, problem.path)
    assert "<mapping>: tiers.free.rank: 'one' is not a whole number; write one, such as 10" == str(problem)


def test_many_unknown_names_are_all_reported_in_a_moment():
    """The number of spelling comparisons is limited."""
    names = [f"name-{i}" for i in range(2000)]

    with pytest.raises(PolicyError) as error:
        Policy.parse(
            {
                "policy": {"version": 1},
                "features": {f"feature-{i}": "x" for i in range(2000)},
                "tiers": {"free": {"rank": 1, "features": names}},
            }
        )

    assert {f"tiers.free.features[{i}]" for i in range(2000)} < {each.path for each in error.value.problems}
