"""A policy that is too large is refused before it is built."""

import pytest

from entitlements import Policy, PolicyError
from entitlements.policy import size_limits
from entitlements.policy.yaml import files
from entitlements.policy.yaml.tree import MAX_NODES


def chain(length):
    """Return a policy whose last tier extends *length* others in a line, children first."""
    tiers = {f"t{at}": {"rank": at, "extends": f"t{at - 1}"} if at else {"rank": 0} for at in range(length, -1, -1)}
    tiers["t0"]["values"] = {"x": True}
    return {"policy": {"version": 1}, "tiers": tiers}


def wide(tiers, features):
    """Return a policy of so many tiers, each with every feature."""
    names = [f"f{at}" for at in range(features)]
    several = {f"t{at}": {"rank": at, "extends": "t0"} for at in range(1, tiers)}
    return {
        "policy": {"version": 1},
        "features": dict.fromkeys(names, "A feature"),
        "tiers": {"t0": {"rank": 0, "features": names}} | several,
    }


def problems_of(load, *args):
    with pytest.raises(PolicyError) as caught:
        load(*args)
    return [str(problem) for problem in caught.value.problems]


def test_a_tier_may_extend_64_others_in_a_line():
    assert {"x": True} == Policy.parse(chain(64)).tiers["t64"].values


def test_a_longer_line_is_refused_where_it_gets_too_long():
    """Nothing recurses over tiers, or walks the whole line of each tier."""
    (said,) = problems_of(Policy.parse, chain(70))
    assert said.startswith("<mapping>: tiers.t65.extends: extends more than 64 tiers, each through the one before; let")
    assert 1200 // 65 == len(problems_of(Policy.parse, chain(1200)))


def test_a_table_of_tiers_and_names_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(size_limits, "MAX_CELLS", 1000)
    assert 50 == len(Policy.parse(wide(50, 20)).tiers)
    (said,) = problems_of(Policy.parse, wide(50, 21))
    assert "tiers: 50 tiers with 21 names, levels and values are 1050 to fill in, at most 1000; define" in said


def test_levels_and_values_are_in_the_table(monkeypatch):
    monkeypatch.setattr(size_limits, "MAX_CELLS", 23)
    policy = wide(2, 1) | {"levels": {"support": ["none", "basic", "full"]}}
    policy["tiers"]["t0"] |= {"levels": {"support": "full"}, "values": {f"v{at}": 1 for at in range(6)}}
    assert Policy.parse(policy)
    policy["tiers"]["t0"]["values"]["one-more"] = 1
    assert problems_of(Policy.parse, policy)


def test_tiers_are_compared_with_one_look_at_the_line_of_each(monkeypatch):
    from entitlements.policy import tier_warnings

    looked = []
    lineage = tier_warnings.lineage
    monkeypatch.setattr(tier_warnings, "lineage", lambda id, document: looked.append(id) or lineage(id, document))
    Policy.parse(wide(40, 30))
    assert len(looked) <= 2 * 40


def test_files_of_one_folder_share_the_keys_and_values_that_a_policy_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(size_limits.Budget.__init__, "__defaults__", (size_limits.MAX_ALL_BYTES, 1000))
    for at in range(3):
        text = "".join(f"  f{at}-{each}: x\n" for each in range(200))
        (tmp_path / f"{at}.yaml").write_text("features:\n" + text)
    said = problems_of(Policy.load, tmp_path)
    assert [f"{tmp_path}/2.yaml"] == [each.rpartition(":")[0].split(":")[0] for each in said if "more than" in each]
    assert f"the policy has more than {MAX_NODES} keys and values, all files together" in said[-1]


def test_files_of_one_folder_share_the_bytes_that_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(size_limits.Budget.__init__, "__defaults__", (1000, MAX_NODES))
    for at in range(6):
        (tmp_path / f"{at}.yaml").write_text("policy: {version: 1}\n" + "#" * 200)
    said = [each for each in problems_of(Policy.load, tmp_path) if "larger" in each]
    assert [f"{tmp_path}/4.yaml: the files up to this one are larger than 4 MiB together; look for files"] == [
        each.partition(" that")[0] for each in said
    ]


def test_a_folder_has_so_many_files_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILES", 3)
    for at in range(4):
        (tmp_path / f"{at}.yaml").write_text("policy: {}\n")
    assert any(
        "the folder has 4 files; give the path of a folder with at most 3" in each
        for each in problems_of(Policy.load, tmp_path)
    )


def test_spelling_is_suggested_as_long_as_there_are_not_too_many_names_to_compare():
    """Each comparison takes time, and a policy may have many names and many unknown ones."""
    from entitlements.policy.vocabulary import Speller

    speller = Speller()
    many = [f"feature-{at}" for at in range(60_000)]
    assert ["did you mean 'seats'?"] * 200 == [speller.suggest("seat", ["seats"]) for _ in range(200)]
    speller._left = len(many)
    assert "" != speller.suggest("feature-1x", many[:100])
    assert "" == speller.suggest("feature-1x", many)
