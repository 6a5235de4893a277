"""One report contains all problems, and none that is only a consequence of another."""

import pytest

from entitlements.errors import PolicyError
from entitlements.policy import Policy

SOUND = """\
policy: {version: 1}
features: {sso: Single sign-on}
levels: {tools: [none, basic, full]}
limits:
  api: {kind: rate}
  leads: {kind: quota}
  storage: {kind: allocation, unit: byte}
tiers:
  free:
    rank: 1
    limits: {api: 5 per hour, leads: 1, storage: 1 GB}
  pro:
    rank: 2
    features: [sso]
    levels: {tools: full}
    limits: {api: 50 per hour, leads: 10, storage: 1 TB}
"""


def problem_locations(folder, *texts):
    """Return the locations and paths of the problems of the files a.yaml, b.yaml …."""
    for name, text in zip("abcdef", texts, strict=False):
        (folder / f"{name}.yaml").write_text(text)
    try:
        found = Policy.load(folder).warnings
    except PolicyError as error:
        found = error.problems
    return [str(each).replace(f"{folder}/", "").partition(": ")[0] + f" {each.path}" for each in found]


def with_changes(*changes):
    """Return the valid policy with pairs of old and new text replaced."""
    text = SOUND
    for old, new in changes:
        assert 1 == text.count(old)
        text = text.replace(old, new)
    return text


def test_the_sound_policy_is_sound(tmp_path):
    """The tests below make changes to a valid policy."""
    assert [] == problem_locations(tmp_path, SOUND)


@pytest.mark.parametrize("size", ["1.5", "-1", "[1]", "{a: 1}", "true", "many", "10 GB", "", "null"])
def test_a_limit_whose_only_size_is_wrong_is_not_called_unused_too(tmp_path, size):
    """A tier uses it, with a faulty size."""
    text = with_changes(("leads: 1,", f"leads: {size},"), ("leads: 10, ", ""))

    assert ["a.yaml:11 tiers.free.limits.leads"] == problem_locations(tmp_path, text)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (("features: [sso]", "features: sso"), "a.yaml:14 tiers.pro.features"),
        (("levels: {tools: full}", "levels: {tools: Full}"), "a.yaml:15 tiers.pro.levels.tools"),
        (("levels: {tools: full}", "levels: {tools: }"), "a.yaml:15 tiers.pro.levels.tools"),
        (("features: [sso]", "features: [sso, 'tools:full']"), "a.yaml:14 tiers.pro.features[1]"),
        (("  pro:", "  pro!:"), "a.yaml:12 tiers.'pro!'"),
        (("{sso: Single sign-on}", "[sso]"), "a.yaml:2 features"),
        (("{sso: Single sign-on}", ""), "a.yaml:2 features"),
        (("{tools: [none, basic, full]}", "{tools: full}"), "a.yaml:3 levels.tools"),
        (
            ("storage: {kind: allocation, unit: byte}", "storage: {kind: allocation, unit: 5}"),
            "a.yaml:7 limits.storage.unit",
        ),
        (("storage: {kind: allocation, unit: byte}", "storage: {unit: byte}"), "a.yaml:7 limits.storage"),
        (("{kind: quota}", "{kind: quota}\n  sso: {kind: quota}"), "a.yaml:7 limits.sso"),
    ],
)
def test_one_slip_is_one_problem(tmp_path, change, where):
    """Its uses elsewhere are not reported."""
    assert [where] == problem_locations(tmp_path, with_changes(change))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (("rank: 2", "rank: 2\n    rank: 3"), "a.yaml:14 tiers.pro.rank"),
        (("version: 1}", "version: 1, version: 2}"), "a.yaml:1 policy.version"),
        (("{sso: Single sign-on}", "{sso: Single sign-on}\nfeatures: {sso: Again}"), "a.yaml:3 features"),
        (("rank: 2", "rank: 2\n    name: &name Pro"), "a.yaml:14 tiers.pro.name"),
        (("rank: 2", "rank: 2\n    name: !!str Pro"), "a.yaml:14 tiers.pro.name"),
        (("rank: 2", "rank: 2\n    name: *name"), "a.yaml:14 tiers.pro.name"),
        (("rank: 2", "rank: 2\n    <<: {name: Pro}"), "a.yaml:14 tiers.pro.'<<'"),
        (("rank: 2", "rank: 2\n    nmae: Pro"), "a.yaml:14 tiers.pro.nmae"),
    ],
)
def test_a_problem_of_form_hides_no_problem_of_sense(tmp_path, change, where):
    """The sizes are checked as well, so a second load finds nothing new."""
    lines = problem_locations(
        tmp_path, with_changes(change, ("leads: 1,", "leads: 1.5,"), ("api: 50 per hour", "api: 50"))
    )

    assert {where.partition(" ")[2], "tiers.free.limits.leads", "tiers.pro.limits.api"} == {
        line.partition(" ")[2] for line in lines
    }


def test_both_of_two_sections_of_one_name_are_read(tmp_path):
    """The key is the problem; the names in both are defined."""
    text = with_changes(("features: [sso]", "features: [sso, export, exprot]")) + "features: {export: Everything}\n"

    assert ["a.yaml:14 tiers.pro.features[2]", "a.yaml:17 features"] == problem_locations(tmp_path, text)


def test_of_two_definitions_of_a_limit_the_first_is_read(tmp_path):
    """A mixture of both would cause errors that neither has."""
    text = with_changes(("  leads: {kind: quota}", "  leads: {kind: quota}\n  leads: {kind: rate, per: ip}"))

    assert ["a.yaml:7 limits.leads"] == problem_locations(tmp_path, text)


def test_of_two_lists_of_one_name_both_are_read(tmp_path):
    """A feature in both is not reported as a duplicate."""
    text = with_changes(("    features: [sso]", "    features: [sso]\n    features: [sso, exprot]"))

    assert ["a.yaml:15 tiers.pro.features", "a.yaml:15 tiers.pro.features[1]"] == problem_locations(tmp_path, text)


def test_problems_of_several_files_are_one_report(tmp_path):
    """In the order of files and lines, for problems of all kinds."""
    lines = problem_locations(
        tmp_path,
        with_changes(("api: 50 per hour", "api: 50"), ("{kind: quota}", "{kind: quote}")),
        "tiers:\n  free:\n    features: [ssso]\n",
        "limits: {api: {kind: rate}}\n",
        "tiers: {pro: {rank: 3}}\nadd_ons: {more: {tiers: [prox], features: [sso]}}\n",
    )

    assert [
        "a.yaml:6 limits.leads",
        "a.yaml:16 tiers.pro.limits.api",
        "b.yaml:3 tiers.free.features[0]",
        "c.yaml:1 limits.api",
        "d.yaml:1 tiers.pro.rank",
        "d.yaml:2 add_ons.more.tiers[0]",
    ] == lines


def test_beside_a_file_that_cannot_be_read_only_what_is_certain_is_told(tmp_path):
    """Unknown names may be defined in it, and warnings may have no cause."""
    text = with_changes(
        ("features: [sso]", "features: [export]"),
        ("levels: {tools: full}", "levels: {tools: fulll}"),
        ("rank: 2", "extends: basic"),
        ("version: 1", "unknown_account: basic"),
        ("leads: 1,", "leads: 100,"),
        ("api: 50 per hour", "api: 50 per month"),
    )

    assert ["a.yaml:16 tiers.pro.limits.api", "b.yaml:1 "] == problem_locations(tmp_path, text, "features: {export: [")


def test_a_key_that_is_written_again_and_again_is_told_each_time(tmp_path):
    """Its first two values are combined; combining the others would copy them each time."""
    lines = problem_locations(tmp_path, SOUND + "add_ons: {}\n" * 1000)

    assert [f"a.yaml:{line} add_ons" for line in range(18, 1017)] == lines
