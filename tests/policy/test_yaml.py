"""Files become one tree; any other content is a `PolicyError`."""

import os
import random
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from deadlines import within_cpu_seconds
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.errors import PolicyError
from entitlements.policy import Policy

MINIMAL = """\
policy: {version: 1}
features: {sso: Single sign-on}
limits:
  api: {kind: rate}
  leads: {kind: quota}
tiers:
  free: {rank: 1, limits: {api: 100 per hour, leads: 10}}
  pro:
    rank: 2
    features: [sso]
    limits: {api: 1000 per hour, leads: unlimited}
    values: {support: {phone: business-hours, response: 24 hours, share: 99.95}}
"""
MANY = settings(max_examples=200 + settings.default.max_examples // 4)
FOLDER = Path(__file__).resolve().parents[2] / "policies"


def load(folder, *texts):
    """Load *texts* as the files a.yaml, b.yaml … of *folder*."""
    for name, text in zip("abcdef", texts, strict=False):
        (folder / f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Policy.load(folder)


def problems(folder, *texts):
    """Return the problems of *texts*, one line each, without the folder's name."""
    with pytest.raises(PolicyError) as error:
        load(folder, *texts)
    return [str(problem).replace(f"{folder}/", "") for problem in error.value.problems]


def values(folder, text):
    """Return the values of a tier with the value *text* under the key `k`."""
    return load(folder, MINIMAL, f"tiers:\n  pro:\n    values:\n      k: {text}\n").tiers["pro"].values


# --- What is not a file of a policy -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "a.yaml: the file is empty; "),
        (b"# nothing\n", "a.yaml: the file is empty; "),
        (b"---\n", "a.yaml: the file is empty; "),
        (b"\xef\xbb\xbf" + MINIMAL.encode(), "a.yaml: the file begins with a byte order mark; "),
        (MINIMAL.encode("utf-16"), "a.yaml: the file is UTF-16; "),
        (b"policy:\n  version: \xff\n", "a.yaml:2: byte 0xff is not UTF-8; "),
        (b"policy: \x00", "a.yaml: the file holds NUL bytes"),
        (b"policy:\n  version: \x07", "a.yaml:2: the character U+0007 is not allowed"),
        (b"#" * (1 << 20) + b"\n", "a.yaml: the file is larger than 1 MiB; split it"),
        (b"- policy", "a.yaml: the file is not a mapping of sections; "),
        (b"policy", "a.yaml: the file is not a mapping of sections; "),
        (b"policy: {version: 1}\n---\ntiers: {}\n", "a.yaml:2: a second document begins here; "),
        (b"%YAML 1.1\n---\npolicy: {}\n", "a.yaml:1: a directive changes how the file is read; "),
        (b"policy: [", "a.yaml:1: not YAML: "),
        (b"policy:\n  - a\n b: c\n", "a.yaml:3: not YAML: "),
        (b"policy: {version: '1}\n\n", "a.yaml:3: not YAML: "),
        (b"? [policy]\n: 1\n", "a.yaml:1: a key is a list or a mapping; "),
        (b"*a : 1\n", "a.yaml:1: *a is an alias; "),
        (b"tiers: " + b"[" * 5000, "a.yaml:1: nested deeper than 16; "),
        (
            b"tiers: [" + b"a," * 100_000 + b"]",
            "a.yaml:1: the policy has more than 100000 keys and values, all files together; ",
        ),
    ],
)
def test_what_cannot_be_read_is_one_problem_of_its_file(tmp_path, data, says):
    """The report has file, line and cure."""
    (line,) = problems(tmp_path, data)

    assert line.startswith(says)


INDENT = "; indent with blanks, all keys of a mapping equally"
QUOTE = "; correct what stands there; quote texts that hold any of : # [ ] { } & * ! | > % @"


@pytest.mark.parametrize(
    ("text", "line", "cure"),
    [
        ("tiers:\n  b: 1\n c: 2\n", 3, INDENT),
        ("tiers:\n    b: 1\n  c: 2\n", 3, INDENT),
        ("tiers:\n  b: 1\n    c: 2\n", 3, INDENT),
        ("tiers:\n  - b: 1\n   c: 2\n", 3, INDENT),
        ("tiers:\n  - b\n - c\n", 3, INDENT),
        ("tiers:\n  - b\n  c: 1\n", 3, INDENT),
        ("  tiers: 1\nb: 2\n", 2, INDENT),
        ("tiers:\n\tb: 1\n", 2, INDENT),
        ("tiers:\n  b: 1\n\tc: 2\n", 3, INDENT),
        ("tiers: see: this\n", 1, QUOTE),
        ("tiers:\n  b: see: this\n", 2, QUOTE),
        ("tiers: 'x' y\n", 1, QUOTE),
        ("tiers: %x\n", 1, QUOTE),
        ("tiers: [1\n", 2, QUOTE),
        ("tiers: 1\n]\n", 2, QUOTE),
    ],
)
def test_the_cure_of_an_indentation_is_another_than_that_of_a_text(tmp_path, text, line, cure):
    """A key at a column of no mapping, or a tab, needs blanks; quotes would not help."""
    (problem,) = problems(tmp_path, text)

    assert problem.startswith(f"a.yaml:{line}: not YAML: ")
    assert problem.endswith(cure)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("features: &a {b: c}\n", "a.yaml:1: features: &a is an anchor; "),
        ("features: {b: *a}\n", "a.yaml:1: features.b: *a is an alias; "),
        ("tiers: {a: {aliases: [*a]}}\n", "a.yaml:1: tiers.a.aliases[0]: *a is an alias; "),
        ("features:\n  <<: *a\n", "a.yaml:2: features.'<<': `<<` merges another mapping; "),
        ("features: {b: !!str c}\n", "a.yaml:1: features.b: tag:yaml.org,2002:str is a tag; "),
        ("features:\n  b: c\n  b: d\n", "a.yaml:3: features.b: 'b' is already written in line 2; "),
        ("tiers:\n  a: {rank: 1}\ntiers:\n  b: {rank: 1}\n", "a.yaml:3: tiers: 'tiers' is already written in line 1; "),
        ("tiers: {a: {rank: %s}}\n" % ("9" * 5000), "a.yaml:1: tiers.a.rank: '999"),
        ("tiers: {a: {rank: .inf}}\n", "a.yaml:1: tiers.a.rank: .inf is not a number"),
        ("tiers: {a: {rank: 1e99999}}\n", "a.yaml:1: tiers.a.rank: 1e99999 is out of range; "),
        ('features: {b: "\\ud800"}\n', "a.yaml:1: features.b: '\\ud800' holds the lone surrogate"),
        ("features: {1: }\n", "a.yaml:1: features.1: nothing is written here; "),
    ],
)
def test_what_yaml_can_do_beyond_data_is_refused(tmp_path, text, says):
    """Anchors, aliases, merges, tags and duplicate keys are problems of their line."""
    assert any(line.startswith(says) for line in problems(tmp_path, text))


def test_names_are_not_called_unknown_while_a_file_cannot_be_read(tmp_path):
    """Missing names may be defined in the faulty file; type errors are reported."""
    broken = "features: {sso: ["
    tiers = "policy: {version: 1}\ntiers: {a: {rank: first, features: [sso]}}\n"

    lines = problems(tmp_path, broken, tiers)

    assert [line.split(": ")[0] for line in lines] == ["a.yaml:1", "b.yaml:2"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent.yaml", "No such file"),
        ("a\0b", "null"),
        ("/dev/zero", "not a regular file"),
        (".", "no *.yaml or *.yml"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_problem(tmp_path, name, says):
    """Missing, impossible, endless, or a folder without policies."""
    path = os.path.join(tmp_path, name)  # noqa: PTH118 - Path would drop the dot

    with pytest.raises(PolicyError) as error:
        Policy.load(path)

    (problem,) = error.value.problems
    assert (path, 0) == (problem.file, problem.line)
    assert says in problem.problem


def test_a_pipe_is_not_waited_for(tmp_path):
    """Only regular files are opened."""
    os.mkfifo(tmp_path / "a.yaml")

    with pytest.raises(PolicyError, match="not a regular file"):
        Policy.load(tmp_path)


def test_an_unreadable_file_is_a_problem_beside_the_others(tmp_path):
    """A broken link hides no other problem."""
    (tmp_path / "z.yaml").symlink_to("nowhere")

    lines = problems(tmp_path, MINIMAL.replace("kind: rate", "kind: rat"))

    assert [line.split(": ")[0] for line in lines] == ["a.yaml:4", "z.yaml"]


# --- Several files ------------------------------------------------------------------------------------------------


def test_a_folder_is_its_yaml_files_and_nothing_else(tmp_path):
    """Hidden files, other suffixes and subfolders are ignored."""
    (tmp_path / "b.yml").write_text("features: {export: Export}\ntiers: {pro: {features: [export]}}\n")
    (tmp_path / ".hidden.yaml").write_text("[")
    (tmp_path / "c.json").write_text("[")
    (tmp_path / "inner.yaml").mkdir()

    policy = load(tmp_path, MINIMAL)

    assert {"sso", "export"} == set(policy.features)
    assert frozenset({"sso", "export"}) == policy.tiers["pro"].features


def test_a_path_may_be_a_str_a_path_or_bytes(tmp_path):
    """All types of paths are accepted."""
    file = tmp_path / "policy.yaml"
    file.write_text(MINIMAL)

    assert {"1"} == {Policy.load(path).version for path in (file, str(file), os.fsencode(file))}


def test_parts_of_a_tier_may_stand_in_several_files(tmp_path):
    """Mappings are merged recursively, lists of features are joined."""
    more = """\
limits: {seats: {kind: allocation}}
tiers:
  pro:
    limits: {seats: 5}
    values: {support: {email: primary}, uptime: 99.9}
"""
    policy = load(tmp_path, MINIMAL, more)
    pro = policy.tiers["pro"]

    assert ["api", "leads", "seats"] == list(pro.limits)
    assert {"support.phone", "support.response", "support.share", "support.email", "uptime"} == set(pro.values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("policy: {version: 2}", "b.yaml:1: policy.version: is already written in a.yaml:1; "),
        ("features: {sso: Again}", "b.yaml:1: features.sso: is already written in a.yaml:2; "),
        ("limits: {api: {unit: call}}", "b.yaml:1: limits.api: is already written in a.yaml:4; "),
        ("tiers: {free: {rank: 1}}", "b.yaml:1: tiers.free.rank: is already written in a.yaml:7; "),
        ("tiers: {pro: {features: [sso]}}", "b.yaml:1: tiers.pro.features[1]: 'sso' stands twice in the list; "),
        (
            "tiers:\n  pro:\n    values:\n      support: {phone: none}",
            "b.yaml:4: tiers.pro.values.support.phone: is already written in a.yaml:12; ",
        ),
        (
            "tiers: {pro: {values: {support: 5}}}",
            "b.yaml:1: tiers.pro.values.support: is already written in a.yaml:12; ",
        ),
    ],
)
def test_what_is_written_in_two_files_is_a_problem_that_names_both(tmp_path, text, says):
    """Neither file has priority."""
    (line,) = problems(tmp_path, MINIMAL, text)

    assert line.startswith(says)


# --- How values are typed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("off", "off"),
        ("35", Decimal(35)),
        ("-7", Decimal(-7)),
        ("0x1F", Decimal(31)),
        ("0o17", Decimal(15)),
        ("017", Decimal(17)),
        ("99.95", Decimal("99.95")),
        ("9.50", Decimal("9.50")),
        ("0.1000000000000000055", Decimal("0.1000000000000000055")),
        ("1e3", Decimal("1e3")),
        ("100_000", "100_000"),
        ("24 hours", timedelta(hours=24)),
        ("P14D", timedelta(days=14)),
        ("30 m", "30 m"),
        ("2026-11", "2026-11"),
        ("2026-11-23", "2026-11-23"),
        ("12:30", "12:30"),
        ('"35"', "35"),
        ("'24 hours'", "24 hours"),
        ('"true"', "true"),
        ('"not-included"', "not-included"),
        ("|\n        24 hours\n", "24 hours\n"),
        ("unlimited", "unlimited"),
        ("[]", ()),
        ("[1, '1', 2 days, [true]]", (Decimal(1), "1", timedelta(days=2), (True,))),
        ("[{a: 1, b-c: 2 days}]", ({"a": Decimal(1), "b-c": timedelta(days=2)},)),
    ],
)
def test_a_value_has_the_type_that_is_written(tmp_path, text, value):
    """YAML 1.2: numbers are exact, quoted scalars are texts, only true and false are bools."""
    found = values(tmp_path, text)["k"]

    assert (value, type(value)) == (found, type(found))
    assert str(value) == str(found) or isinstance(value, tuple)


def test_mappings_are_flattened_by_dots(tmp_path):
    """A range is an inner node like any other, and a key may have dots itself."""
    found = values(tmp_path, "{x: {from: 30 days, to: 45 days}, y.z: true}")

    assert timedelta(days=30) == found["k.x.from"]
    assert timedelta(days=45) == found["k.x.to"]
    assert found["k.y.z"] is True
    assert "k" not in found


def test_no_commitment_is_none_with_its_text_below(tmp_path):
    """The text is a label, never a duration."""
    found = values(tmp_path, "{no-commitment: 48 hours}")

    assert (None, "48 hours") == (found["k"], found["k.label"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "k: nothing is written; write not-included, or {no-commitment: text}"),
        ("null", "k: nothing is written; "),
        ("~", "k: nothing is written; "),
        ("[null]", "k: nothing is written; "),
        ("{}", "k: nothing is written below it; "),
        ("P1M", "k: 'P1M' has months or years"),
        ("999999999999 weeks", "k: '999999999999 weeks' is longer than can be kept; "),
        ("[not-included]", "k: not-included in a list drops nothing; "),
        ("{no-commitment: x, y: z}", "k: no-commitment stands beside other keys; "),
        ("{no-commitment: 5}", "k: no-commitment says nothing; "),
        ("{two words: 1}", "k.'two words': 'two words' is not a name; "),
        ("[{a.b: 1}]", "k: 'a.b' is not a name; "),
        ("{a.b: 1, a: {b: 2}}", "k.a.b: 'k.a.b' is written twice in this tier; "),
        ("{a: 1, a.b: 2}", "k.a.b: 'k.a.b' stands below 'k.a', which has a value of its own; "),
        ("{a.b: 1, a: 2}", "k.a: 'k.a' has a value, and keys below it; "),
        ("not-included", "k: no tier has a value 'k' to drop; "),
    ],
)
def test_a_value_that_cannot_be_says_what_to_write(tmp_path, text, says):
    """Values are never guessed."""
    with pytest.raises(PolicyError) as error:
        values(tmp_path, text)

    (problem,) = error.value.problems
    assert 4 == problem.line
    assert str(problem).split(": ", 1)[1].replace("tiers.pro.values.", "").startswith(says)


# --- Whatever is thrown at it -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "policy.yaml"


def problems_of(read, what):
    """Return the problems or warnings of a policy; any other exception fails the test."""
    try:
        return read(what).warnings
    except PolicyError as error:
        return error.problems


def assert_loads_or_policy_error(file, data):
    file.write_bytes(data)

    with within_cpu_seconds():
        assert all(problem.cure and problem.problem for problem in problems_of(Policy.load, file))


@given(data=st.one_of(st.binary(), st.text().map(str.encode), st.text("{}[]:,-?&*!|>'\"%@`# \n\tab1.").map(str.encode)))
@MANY
def test_any_bytes_load_or_are_a_policy_error(file, data):
    """No bytes raise any other exception."""
    assert_loads_or_policy_error(file, data)


@given(seed=st.integers(0, 2**32))
@MANY
def test_a_policy_with_pieces_exchanged_loads_or_is_a_policy_error(file, seed):
    """Lines, words and characters of a policy are dropped, doubled and replaced."""
    rng = random.Random(seed)
    text = (FOLDER / "photo-lab.yaml").read_text(encoding="utf-8")
    for _ in range(rng.randrange(1, 6)):
        text = mutated(text, rng)
    assert_loads_or_policy_error(file, text.encode("utf-8", "surrogatepass"))


def mutated(text, rng):
    """Return *text* with one piece dropped, doubled or replaced, possibly by a special word."""
    by = rng.choice(["\n", " ", ": ", ""])
    pieces = text.split(by) if by else list(text)
    at, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    hard = [
        "null",
        "[]",
        "{}",
        "-1",
        "1e400",
        "true",
        "'",
        "*a",
        "&a",
        "<<",
        "!!int",
        "\t",
        "none",
        "trial",
        "9" * 5000,
    ]
    pieces[at : at + rng.randrange(2)] = rng.choice([[], [pieces[other]], [rng.choice(hard)], [pieces[at]] * 2])
    return by.join(pieces)


json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.decimals(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    ["policy", "tiers", "limits", "levels", "features", "add_ons", "values", "rank", "kind"]
                ),
                st.text(max_size=3),
                st.none(),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@given(json_like)
@MANY
def test_any_mapping_parses_or_is_a_policy_error(mapping):
    """The same holds for Python values."""
    with within_cpu_seconds():
        assert all(("<mapping>", 0) == (each.file, each.line) for each in problems_of(Policy.parse, mapping))


def test_a_mapping_that_contains_itself_ends_at_the_depth_of_files():
    """It is refused with a few problems."""
    endless = {"policy": {"version": 1}}
    endless["tiers"] = endless["values"] = endless

    with pytest.raises(PolicyError, match="nested deeper than 16") as error:
        Policy.parse(endless)

    assert len(error.value.problems) < 100
