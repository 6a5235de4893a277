"""The command line: answers on stdout, errors in one line on stderr, and stable exit codes."""

import inspect
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import entitlements.cli
from entitlements.cli import main
from entitlements.cli.app import COMMANDS
from entitlements.cli.exit_codes import MEANINGS
from entitlements.policy.schema import schema_text

ROOT = Path(__file__).resolve().parents[2]
CUSTOMER_TIERS = str(ROOT / "policies" / "customer-tiers")
MINIMAL = str(ROOT / "policies" / "minimal.yaml")
PHOTO_LAB = str(ROOT / "policies" / "photo-lab.yaml")
CODES = [0, 1, 2, 3, 4, 5]

POLICY = """\
policy: {version: 7}
features: {sso: Single sign-on}
levels: {analytics: [none, standard, advanced]}
limits:
  api: {kind: rate}
  leads: {kind: quota, period: month}
  storage: {kind: allocation, unit: byte}
tiers:
  free:
    rank: 1
    levels: {analytics: none}
    limits: {api: 0 per hour, leads: 100}
    values: {support: {reply: {no-commitment: When we can}, days: [monday, friday]}}
  pro:
    rank: 2
    features: [sso]
    levels: {analytics: standard}
    limits: {api: 1000 per hour, leads: unlimited, storage: 10 GB}
    values: {support: {reply: 4 hours, phone: {number: "1-2-3", open: true}}, seats: {from: 5, to: 1000}}
  top: {rank: 3, extends: pro, levels: {analytics: advanced}}
  taste: {rank: 2, extends: pro, trial: {of: 14 days, then: free}}
add_ons:
  more-leads: {limits: {leads: 50}, price: 5 per month}
  sign-on: {tiers: [free], features: [sso]}
"""
ACCOUNTS = """\
id,tier,trial_ends,overrides,grants,add_ons,status
acme,free,,,,,
globex,pro,,,,,
initech,free,,"leads=500 (promised, by Ann, until 2099-01-01); leads=400 (early, by Bob, until 2020-01-01)",leads+7,more-leads,
trying,taste,2099-01-01,,,,
shut,pro,,,,,suspended
lost,gold,,,,,
broken,taste,,,,,
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("ENTITLEMENTS_POLICY", "ENTITLEMENTS_ACCOUNTS", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with a policy and a file of accounts; the environment names both."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "accounts.csv").write_text(ACCOUNTS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTITLEMENTS_POLICY", "policy.yaml")
    monkeypatch.setenv("ENTITLEMENTS_ACCOUNTS", "accounts.csv")
    return tmp_path


@pytest.fixture
def run_command(capsys):
    """Return a function that runs a command in this process, and returns its exit code, stdout and stderr."""

    def run(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        return code, *capsys.readouterr()

    return run


def test_every_command_that_reads_accounts_takes_the_heading_of_their_ids():
    options = {command.__name__: inspect.signature(command).parameters for command in COMMANDS}
    reading = {name for name, each in options.items() if "accounts" in each}
    assert {"can", "diff", "explain", "validate", "value"} < reading
    assert reading == {name for name, each in options.items() if "id" in each}


def test_accounts_are_found_by_the_heading_of_their_ids(folder, run_command):
    (folder / "crm.csv").write_text("Name,tier\nAcme,pro\n", encoding="utf-8")
    crm = ("--accounts", "crm.csv", "--id", "Name")
    assert "yes: Acme has sso" in run_command("can", "Acme", "sso", *crm)[1]
    assert "4 hours" in run_command("value", "Acme", "support.reply", *crm)[1]
    assert 0 == run_command("explain", "Acme", "sso", *crm)[0]
    assert 0 == run_command("validate", *crm)[0]
    assert 0 == run_command("diff", "policy.yaml", "policy.yaml", *crm)[0]


def test_a_review_with_nothing_to_review_by_is_refused(folder, run_command):
    code, out, err = run_command("review")
    assert (2, "") == (code, out)
    assert "policy 7 has no section `assignment` and no values below `transition`" in err


# --- can ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "code", "answer"),
    [
        (["acme", "sso"], 1, "no: acme does not have sso, on tier free; tier pro or add-on sign-on has it"),
        (["globex", "sso"], 0, "yes: globex has sso, on tier pro"),
        (["globex", "analytics"], 0, "yes: globex has analytics at level standard, on tier pro"),
        (["globex", "analytics:advanced"], 1, "no: globex has analytics at level standard only, on tier pro; tier top has it"),
        (["acme", "analytics"], 1, "no: acme does not have analytics, on tier free; tier pro has it"),
        (["acme", "api"], 1, "no: acme has api: 0 per hour, on tier free; tier pro has it"),
        (["acme", "leads"], 0, "yes: acme has leads: 100 per month, on tier free"),
        (["globex", "leads"], 0, "yes: globex has leads: unlimited, on tier pro"),
        (["globex", "storage"], 0, "yes: globex has storage: 10 GB, on tier pro"),
        (["acme", "storage"], 1, "no: acme does not have storage, on tier free; tier pro has it"),
        (["initech", "leads"], 0, "yes: initech has leads: 500 per month, by an override"),
        (["initech", "leads", "--at", "2099-06-01"], 0, "yes: initech has leads: 157 per month, by a grant"),
        (["trying", "sso"], 0, "yes: trying has sso, on tier taste"),
        (["trying", "sso", "--at", "2099-01-01"], 1, "no: trying does not have sso, on tier free; tier pro or add-on sign-on has it"),
        (["shut", "sso"], 1, "no: shut is suspended"),
        (["lost", "sso"], 1, "no: lost has no tier that the policy knows"),
        (["anybody", "sso", "--tier", "top"], 0, "yes: anybody has sso, on tier top"),
        (["anybody", "sso", "--tier", "taste"], 0, "yes: anybody has sso, on tier taste"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_can_answers_in_one_sentence(question, code, answer, folder, run_command):
    assert (code, f"{answer}\n", "") == run_command("can", *question)


def test_can_in_json_is_the_decision(folder, run_command):
    code, out, _ = run_command("can", "acme", "sso", "--json")

    decision = json.loads(out)
    assert 1 == code
    assert [False, "not-included", "sso", "free", "tier:free"] == [
        decision[name] for name in ("allowed", "reason", "feature", "tier", "source")
    ]
    assert {"tier": "pro", "add_on": "sign-on"} == decision["remedy"]


def test_a_remedy_shows_the_price_of_its_add_on(folder, run_command):
    (folder / "policy.yaml").write_text(POLICY.replace("features: [sso]}", "features: [sso], price: 9 per year}"))

    assert "add-on sign-on (9 per year) has it" in run_command("can", "acme", "sso")[1]


# --- explain ------------------------------------------------------------------------------------------------------

EXPLAINED = """\
yes: initech has leads: 500 per month, by an override

reason       included
limit        500 per month
tier         free
source       override:leads
policy       7
valid until  2099-01-01 00:00 UTC

   considered         says
   add-on:more-leads  +50 per month  lost     quantity 1
   grant:leads        +7 per month   lost
▸  override:leads     500 per month  won      promised, by Ann, until 2099-01-01 00:00 UTC
   override:leads     400 per month  expired  early, by Bob, until 2020-01-01 00:00 UTC
   tier:free          100 per month  lost
"""


def test_explain_shows_every_source_and_marks_the_one_that_won(folder, run_command):
    assert (0, EXPLAINED, "") == run_command("explain", "initech", "leads")


def test_explain_shows_the_remedy(folder, run_command):
    code, out, _ = run_command("explain", "acme", "sso")

    assert 0 == code
    assert "remedy       tier pro or add-on sign-on has it\n" in out
    assert "valid until  nothing is due to change\n" in out
    assert re.search(r"^▸  tier:free +not included +won$", out, re.MULTILINE)


def test_explain_names_an_unknown_tier(folder, run_command):
    code, out, _ = run_command("explain", "lost", "sso")

    assert 0 == code
    assert "reason       unknown-account\n" in out
    assert "tier 'gold' is not in the policy" in out


def test_explain_puts_notes_below_where_the_terminal_is_narrow(folder, run_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")

    out = run_command("explain", "initech", "leads")[1]
    table = out.partition("considered")[2].splitlines()

    assert "     promised, by Ann, until 2099-01-01 00:00 UTC" in table
    assert max(map(len, table)) <= 50


def test_explain_in_json_has_the_trace(folder, run_command):
    trace = json.loads(run_command("explain", "initech", "leads", "--json")[1])["trace"]

    assert {"source": "override:leads", "value": 500, "verdict": "won"}.items() <= trace[2].items()


# --- value --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "code", "answer"),
    [
        (["globex", "support.reply"], 0, "4 hours\n"),
        (["acme", "support.reply"], 0, "no commitment: When we can\n"),
        (["acme", "support.days"], 0, "monday\nfriday\n"),
        (["acme", "support.phone"], 1, "not included\n"),
        (["globex", "support.phone.open"], 0, "yes\n"),
        (["globex", "analytics"], 0, "standard\n"),
        (["globex", "seats"], 0, "seats\n├── from  5\n└── to    1,000\n"),
        (["globex", "support"], 0, "support\n├── phone\n│   ├── number  1-2-3\n│   └── open    yes\n└── reply  4 hours\n"),
        (["acme", "support"], 0, "support\n├── days   monday; friday\n└── reply  no commitment: When we can\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_value_shows_a_configuration_value(question, code, answer, folder, run_command):
    assert (code, answer, "") == run_command("value", *question)


def test_value_in_json_keeps_its_type(folder, run_command):
    out = run_command("value", "globex", "support", "--json")[1]

    assert {
        "account": "globex",
        "tier": "pro",
        "key": "support",
        "value": {"phone": {"number": "1-2-3", "open": True}, "reply": 14400},
    } == json.loads(out)


# --- validate -----------------------------------------------------------------------------------------------------

BAD = """\
policy: {version: 1}
tiers:
  a: {rank: one, limitz: {}}
"""
ODD = "policy: {version: 1}\nlimits: {api: {kind: rate}}\ntiers: {a: {rank: 1}}\n"


@pytest.mark.parametrize("path", [CUSTOMER_TIERS, MINIMAL, PHOTO_LAB], ids=lambda path: Path(path).stem)
def test_the_policies_of_this_project_are_fine(path, run_command):
    code, out, err = run_command("validate", path, "--strict")

    assert (0, "") == (code, err)
    assert out.startswith(f"{path}: fine; ")


def test_validate_counts_what_a_good_policy_has(folder, run_command):
    assert "policy.yaml: fine; 4 tiers, 2 features, 3 limits, 2 add-ons, 7 values\n" == run_command("validate")[1]


def test_validate_shows_every_problem_on_a_line_and_counts_them(tmp_path, run_command):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)

    code, out, err = run_command("validate", str(path))

    *problems, last = out.splitlines()
    assert (1, "") == (code, err)
    assert 2 == len(problems)
    assert all(re.match(rf"{path}:3: tiers\.a\.\w+: [^;]+; .+", line) for line in problems)
    assert f"{path}: 2 errors" == last


def test_validate_shows_the_problems_of_the_exception(tmp_path, run_command):
    from entitlements.errors import PolicyError
    from entitlements.policy import Policy

    path = tmp_path / "bad.yaml"
    path.write_text(BAD)

    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    assert list(map(str, caught.value.problems)) == run_command("validate", str(path))[1].splitlines()[:-1]


def test_a_warning_is_a_problem_only_where_that_is_strict(tmp_path, run_command):
    path = tmp_path / "odd.yaml"
    path.write_text(ODD)

    lenient, out, _ = run_command("validate", str(path))
    strict, _, _ = run_command("validate", str(path), "--strict")

    assert (0, 1) == (lenient, strict)
    assert f"{path}:2: warning: limits.api: " in out
    assert f"\n{path}: 1 warning; 1 tier, " in out


def test_validate_in_json(tmp_path, run_command):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)

    code, out, _ = run_command("validate", str(path), "--json")

    report = json.loads(out)
    assert 1 == code
    assert [False, 2, 0] == [report[name] for name in ("valid", "errors", "warnings")]
    assert {"file", "line", "path", "problem", "cure", "severity"} == set(report["problems"][0])


def test_validate_looks_at_accounts_too(folder, run_command):
    code, out, _ = run_command("validate", "--accounts", "accounts.csv")

    assert 1 == code
    assert "accounts.csv:8: trial_ends: " in out
    assert "accounts.csv:7: warning: tier: " in out
    assert re.search(r"\npolicy\.yaml: fine; 4 tiers, .*\naccounts\.csv: 1 error, 1 warning\n$", out)


def test_validate_of_a_missing_file_exits_with_4(run_command, tmp_path):
    code, out, _ = run_command("validate", str(tmp_path / "nowhere"))

    assert 4 == code
    assert "cannot be read" in out


# --- schema -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["schema"], ["schema", "--json"]])
def test_schema_writes_the_schema(argv, run_command):
    assert (0, schema_text(), "") == run_command(*argv)


# --- Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        ("can acne sso", 3, "account 'acne' is not in accounts.csv; did you mean 'acme'?; it may be in a row"),
        ("explain nobody-at-all sso", 3, "account 'nobody-at-all' is not in accounts.csv; it may be in a row"),
        ("value broken support", 3, "cannot be read: accounts.csv:8: trial_ends: "),
        ("can acme ssso", 2, "policy 7 knows no feature or limit 'ssso'; did you mean 'sso'?"),
        ("can acme analytics:best", 2, "'analytics' has no level 'best'; its levels are none, standard, advanced"),
        ("can acme sso:best", 2, "'sso' is a switch"),
        ("can acme support.reply", 2, "'support.reply' is a configuration value; ask: entitlements value acme support.reply"),
        ("explain acme support", 2, "ask: entitlements value acme support"),
        ("value acme api", 2, "'api' is a limit; ask: entitlements explain acme api"),
        ("value acme sso", 2, "'sso' is a feature; ask: entitlements can acme sso"),
        ("value acme suport.reply", 2, "knows no value key 'suport.reply'; did you mean 'support.reply'?"),
        ("can acme sso --tier por", 2, "--tier 'por' is not in policy 7; did you mean 'pro'?; its tiers are free, pro, top, taste"),
        ("can acme sso --at someday", 2, "--at 'someday' is not a date; write a date such as"),
        ("can acme sso --accounts nowhere.csv", 4, "nowhere.csv: the file cannot be read"),
        ("can acme sso --policy nowhere", 4, "nowhere: cannot be read: No such file or directory"),
        ("can acme sso --policy bad.yaml", 4, "bad.yaml:3: tiers.a.rank: "),
        ("can acme sso --policy bad.yaml", 4, "(and 1 more: entitlements validate bad.yaml)"),
        ("tiers --policy accounts.csv", 4, "accounts.csv: "),
        ("tiers --section suport", 2, "--section 'suport' is not in policy 7; did you mean 'support'?"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_on_stderr(argv, code, message, folder, run_command):
    (folder / "bad.yaml").write_text(BAD)

    found, out, err = run_command(*argv.split())

    assert (code, "", 1) == (found, out, err.count("\n"))
    assert err.startswith("entitlements: ")
    assert message in err


@pytest.mark.parametrize("id", ["", "a\x1b[31mb", "x" * 257])
def test_an_invalid_id_is_an_error_and_its_control_characters_are_not_written(id, folder, run_command):
    code, out, err = run_command("can", id, "sso")

    assert (2, "") == (code, out)
    assert err.startswith("entitlements: ACCOUNT ")
    assert "\x1b" not in err


def test_without_a_policy_the_error_names_the_cure(tmp_path, monkeypatch, run_command):
    monkeypatch.chdir(tmp_path)

    assert (2, "", "entitlements: no policy is given; add --policy PATH, or set ENTITLEMENTS_POLICY\n") == run_command(
        "tiers"
    )


def test_without_accounts_the_error_names_the_cure(folder, monkeypatch, run_command):
    monkeypatch.delenv("ENTITLEMENTS_ACCOUNTS")

    code, _, err = run_command("can", "acme", "sso")

    assert 2 == code
    assert "add --accounts CSV or URL, set ENTITLEMENTS_ACCOUNTS, or ask about a tier: --tier TIER" in err


def test_an_unknown_account_has_the_tier_that_the_policy_gives_unknown_accounts(folder, run_command):
    (folder / "policy.yaml").write_text(POLICY.replace("version: 7", "version: 7, unknown_account: free"))

    code, out, err = run_command("can", "stranger", "leads")

    assert (0, "yes: stranger has leads: 100 per month, on tier free\n") == (code, out)
    assert err.startswith("account 'stranger' is not in accounts.csv")
    assert err.endswith("; it counts as an unknown account\n")


# --- Options and defaults -----------------------------------------------------------------------------------------


def test_the_customer_tiers_and_the_example_accounts_are_the_defaults(monkeypatch, run_command):
    monkeypatch.chdir(ROOT)

    code, out, _ = run_command("can", "harborwick", "sso")

    assert (0, "yes: harborwick has sso, on tier enterprise\n") == (code, out)


def test_an_option_goes_before_the_environment(folder, run_command):
    assert (
        "yes: acme has sso, on tier pro\n" == run_command("can", "acme", "sso", "--policy", MINIMAL, "--tier", "pro")[1]
    )


@pytest.mark.parametrize("command", ["validate", "tiers", "can", "explain", "value", "usage", "doctor", "schema"])
def test_every_command_writes_json_and_documents_its_exit_codes(command, run_command):
    code, out, _ = run_command(command, "--help")

    assert 0 == code
    assert "--json" in out
    assert all(f"{code.value}  {meaning}" in out for code, meaning in MEANINGS.items())


def test_the_exit_codes_are_stable(run_command):
    out = run_command("--help")[1]

    assert CODES == [code.value for code in MEANINGS]
    assert CODES == [int(code) for code in re.findall(r"^    (\d)  ", out, re.MULTILINE)]
    assert CODES == [int(code) for code in re.findall(r"^\| (\d) \|", entitlements.cli.__doc__, re.MULTILINE)]


def test_the_version_is_the_package_s(run_command):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert (0, f"entitlements {project['version']}\n", "") == run_command("--version")


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["can", "acme"], ["tiers", "--format", "pdf"]])
def test_an_invalid_command_line_exits_with_2(argv, run_command):
    assert 2 == run_command(*argv)[0]


def test_an_unknown_format_is_one_line_with_the_formats(folder, run_command):
    said = "entitlements: --format 'htm' is no format; did you mean 'html'?; write one of table, markdown, html, json\n"

    assert (2, "", said) == run_command("tiers", "--format", "htm")


# --- Colours ------------------------------------------------------------------------------------------------------


def test_colours_are_for_terminals(folder, run_command, monkeypatch):
    assert "\x1b" not in run_command("can", "globex", "sso")[1]

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    assert run_command("can", "globex", "sso")[1].startswith("\x1b[1;32myes\x1b[0m: ")
    assert "\x1b[1;31m" in run_command("can", "missing", "sso")[2]


def test_no_color_is_honoured(folder, run_command, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")

    assert EXPLAINED == run_command("explain", "initech", "leads")[1]


@pytest.mark.parametrize("file", ["bad.yaml", "odd.yaml"])
def test_problems_are_the_same_in_colours(file, tmp_path, run_command, monkeypatch):
    path = tmp_path / file
    path.write_text({"bad.yaml": BAD, "odd.yaml": ODD}[file])
    plain = run_command("validate", str(path))[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    coloured = run_command("validate", str(path))[1]

    assert coloured != plain
    assert plain == re.sub(r"\x1b\[[\d;]*m", "", coloured).replace("\n\n", "\n")


# --- Other processes ----------------------------------------------------------------------------------------------


def test_the_module_returns_the_exit_code_of_the_command():
    argv = [sys.executable, "-m", "entitlements", "can", "acme", "sso", "--tier", "fre", "--policy", MINIMAL]

    done = subprocess.run(argv, capture_output=True, check=False, timeout=300)

    assert (2, b"") == (done.returncode, done.stdout)


@pytest.mark.skipif(os.name == "nt", reason="Windows reports closed pipes differently")
def test_a_closed_pipe_does_not_change_the_exit_code():
    read, write = os.pipe()
    os.close(read)
    command = [str(Path(sys.executable).with_name("entitlements")), "can", "acme", "sso", "--tier", "free"]

    done = subprocess.run(
        [*command, "--policy", MINIMAL], stdout=write, stderr=subprocess.PIPE, check=False, timeout=300
    )

    os.close(write)
    assert (1, b"") == (done.returncode, done.stderr)


def test_an_ascii_stream_gets_ascii_only(folder, monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii", write_through=True))
    monkeypatch.setenv("COLUMNS", "60")

    codes = {
        main(argv.split()) for argv in ("tiers", "value globex support", "explain acme sso", "tiers --format markdown")
    }

    text = buffer.getvalue().decode("ascii")
    assert {0} == codes
    assert "\n- not included" in text
    assert "\n`-- reply" in text
    assert "\n>  tier:free" in text
    assert "\\u2014 is not included" in text


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_a_terminal_gets_colours_and_lines_that_fit_its_width():
    import pty
    import struct
    from fcntl import ioctl
    from termios import TIOCSWINSZ

    master, terminal = pty.openpty()
    ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {
        name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}
    }
    argv = [sys.executable, "-m", "entitlements", "tiers", "--policy", MINIMAL, "--section", "limits"]
    with subprocess.Popen(
        argv, stdin=terminal, stdout=terminal, env=environment | {"TERM": "xterm"}, cwd=ROOT
    ) as program:
        program.wait(timeout=300)
    os.close(terminal)
    shown = os.read(master, 100_000).decode()
    os.close(master)

    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert "\x1b[1;36mlimits" in shown
    assert "  api    10,000 per hour  100 per hour" in lines
    assert max(map(len, lines)) <= 80


def test_help_imports_no_heavy_module():
    code = "import sys; from entitlements.cli import main; main(['--help']); print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True).stdout

    assert not {"ruamel.yaml", "limits", "cachetools", "rich", "entitlements.enforcer"} & set(
        loaded.splitlines()[-1].split()
    )
