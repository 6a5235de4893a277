"""Policy files that change under a running enforcer: valid ones take effect, others are reported."""

import asyncio
import contextlib
import os
import random
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from entitlements import Account, AsyncEnforcer, Enforcer, Policy, PolicyError
from entitlements.clock import monotonic
from entitlements.model import events
from entitlements.policy.watcher import PolicyFiles, PollingClock
from entitlements.testing import RecordingHook

SOON = timedelta(microseconds=1)


def policy_text(version, leads=None):
    """Return a policy whose first and last lines have equal numbers, so that a mixture of two is detected."""
    filler = "# A line that makes the file longer\n" * 40
    return (
        f"policy: {{version: {version}}}\nlimits: {{leads: {{kind: quota}}}}\n{filler}"
        f"tiers: {{one: {{rank: 1, limits: {{leads: {leads or version}}}}}}}\n"
    )


@pytest.fixture
def path(tmp_path):
    (tmp_path / "policy.yaml").write_text(policy_text(1))
    return tmp_path / "policy.yaml"


@pytest.fixture
def hook():
    return RecordingHook()


@pytest.fixture
def enforcer(path, hook):
    enforcer = Enforcer(Policy.load(path), accounts={"acme": "one"}, hooks=[hook])
    enforcer.watch(path, every=SOON)
    return enforcer


class OneTierAccounts:
    """A source of accounts; all of them are in one tier."""

    def find(self, id):
        return Account(id, "one")


def replace_file(path, text):
    """Replace the file with *text* by a rename."""
    beside = path.with_name("beside.tmp")
    beside.write_text(text)
    beside.rename(path)


def in_force(enforcer):
    """Return the version and the limit of the third call from now: the first two poll the files."""
    for _ in range(3):
        decision = enforcer.decide("acme", "leads")
    return decision.policy, decision.limit


def poll_once(files):
    """Poll once, and return the updates."""
    news = []
    files.poll()
    files.deliver(news.append)
    return news


def test_a_file_that_is_replaced_takes_effect(enforcer, path, hook):
    assert ("1", 1) == in_force(enforcer)
    replace_file(path, policy_text(2))
    assert ("2", 2) == in_force(enforcer)
    assert ("1", "2") == (hook.of(events.Reloaded)[-1].before, hook.of(events.Reloaded)[-1].after)


def test_a_file_that_is_written_in_place_takes_effect_also_with_the_same_size_and_time(enforcer, path):
    before = path.stat()
    path.write_text(policy_text(2))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert before.st_size == path.stat().st_size
    assert ("2", 2) == in_force(enforcer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (policy_text(2)[:-1], "newline"),
        (policy_text(2)[:-30], "newline"),
        ("", "newline"),
        (policy_text(2).replace("quota", "quote"), "quote"),
        ("tiers: [\n", "policy.yaml"),
    ],
)
def test_what_is_bad_or_cut_off_is_told_once_and_never_takes_effect(enforcer, path, hook, caplog, text, said):
    replace_file(path, text)
    for _ in range(5):
        assert ("1", 1) == in_force(enforcer)
    (reported,) = hook.of(events.ReloadFailed)
    assert said in reported.problem
    assert str(path) == reported.path
    assert 1 == caplog.text.count("the policy in force stays")
    replace_file(path, policy_text(3))
    assert ("3", 3) == in_force(enforcer)


def test_a_file_that_vanishes_leaves_the_policy_in_force(enforcer, path, hook):
    path.unlink()
    assert ("1", 1) == in_force(enforcer)
    assert hook.of(events.ReloadFailed)
    path.write_text(policy_text(2))
    assert ("2", 2) == in_force(enforcer)


def test_a_file_that_is_still_being_written_is_not_read(path):
    files = PolicyFiles(path)
    with path.open("w") as file:
        for line in policy_text(2).splitlines(keepends=True):
            file.write(line)
            file.flush()
            assert [] == poll_once(files)
    assert ["2"] == [policy.version for policy in poll_once(files)]
    assert [] == poll_once(files)


def test_a_folder_is_watched_file_by_file(tmp_path, hook):
    (tmp_path / "a.yaml").write_text("policy: {version: 1}\nlimits: {leads: {kind: quota}}\n")
    (tmp_path / "b.yaml").write_text("tiers: {one: {rank: 1, limits: {leads: 1}}}\n")
    enforcer = Enforcer(Policy.load(tmp_path), accounts={"acme": "one"}, hooks=[hook])
    enforcer.watch(tmp_path, every=SOON)
    replace_file(tmp_path / "b.yaml", "tiers: {one: {rank: 1, limits: {leads: 5}}}\n")
    assert ("1", 5) == in_force(enforcer)


def test_what_is_no_policy_now_is_not_watched(enforcer, tmp_path):
    with pytest.raises(PolicyError):
        enforcer.watch(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("every", [timedelta(0), 0, -1, float("nan"), float("inf"), 1e300, True, "5", None])
def test_the_time_between_two_looks_is_seconds_or_a_timedelta(enforcer, path, every):
    with pytest.raises(ValueError, match=r"every .* must be"):
        enforcer.watch(path, every=every)


def test_the_time_between_two_looks_may_be_a_number_of_seconds(enforcer, path):
    enforcer.watch(path, every=SOON.total_seconds())
    replace_file(path, policy_text(2))
    assert ("2", 2) == in_force(enforcer)


def test_no_mixture_is_ever_in_force_while_somebody_writes_all_the_time(enforcer, path):
    over, chance = threading.Event(), random.Random(1)

    def write():
        for version in range(2, 60):
            text = policy_text(version)
            if version % 2:
                replace_file(path, text)
            else:
                with path.open("w") as file:
                    cut = chance.randrange(len(text))
                    file.write(text[:cut])
                    file.flush()
                    file.write(text[cut:])
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not over.is_set():
        decision = enforcer.decide("acme", "leads")
        seen.add((decision.policy, decision.limit))
    writer.join()
    assert all(version == str(limit) for version, limit in seen)
    assert ("59", 59) == in_force(enforcer)


class FailingAccounts(OneTierAccounts):
    """A source that fails under the second policy."""

    def with_policy(self, policy):
        if policy.version == "2":
            raise RuntimeError("no such column")
        return self


def test_a_policy_under_which_the_accounts_fail_does_not_take_effect(path, hook):
    enforcer = Enforcer(Policy.load(path), accounts=FailingAccounts(), hooks=[hook])
    enforcer.watch(path, every=SOON)
    replace_file(path, policy_text(2))
    assert ("1", 1) == in_force(enforcer)
    assert ["RuntimeError: no such column"] == [reported.problem for reported in hook.of(events.ReloadFailed)]
    with pytest.raises(RuntimeError):
        enforcer.reload(Policy.load(path))
    assert "1" == enforcer.policy.version
    replace_file(path, policy_text(3))
    assert ("3", 3) == in_force(enforcer)


async def test_a_policy_under_which_the_accounts_fail_does_not_take_effect_in_an_event_loop(path):
    enforcer = AsyncEnforcer(Policy.load(path), accounts=FailingAccounts())
    replace_file(path, policy_text(2))
    with pytest.raises(RuntimeError):
        await enforcer.reload(Policy.load(path))
    assert ("1", 1) == ((await enforcer.decide("acme", "leads")).policy, (await enforcer.decide("acme", "leads")).limit)


async def test_an_event_loop_reads_files_in_a_thread(path, hook):
    enforcer = AsyncEnforcer(Policy.load(path), accounts={"acme": "one"}, hooks=[hook])
    await enforcer.watch(path, every=SOON)
    replace_file(path, policy_text(2))
    async with asyncio.timeout(60):
        while (await enforcer.decide("acme", "leads")).policy != "2":  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.01)
    replace_file(path, "tiers: [\n")
    async with asyncio.timeout(60):
        while not hook.of(events.ReloadFailed):
            await enforcer.decide("acme", "leads")
            await asyncio.sleep(0.01)
    assert "2" == (await enforcer.decide("acme", "leads")).policy


# -- cut off at the end of a line --------------------------------------------------------------------------------------

LARGE = """\
policy: {version: 7}
features: {sso: Single sign-on, chat: Chat}
levels: {support: [none, mail, phone]}
limits: {leads: {kind: quota}, seats: {kind: allocation}}
routes:
  - {path: /leads, requires: [sso]}
  - {path: /chat, requires: [chat]}
tiers:
  one:
    rank: 1
    features: [chat]
    levels: {support: mail}
    limits:
      leads: 1
  two:
    rank: 2
    features: [sso, chat]
    levels: {support: phone}
    values:
      reply: 4 hours
      hotline: true
    limits:
      leads: 7
      seats: 3
add_ons:
  more: {limits: {leads: 5}}
"""


@pytest.mark.parametrize("kept", range(1, LARGE.count("\n")))
def test_a_file_that_lacks_its_last_lines_never_takes_effect(path, kept):
    path.write_text(LARGE)
    files = PolicyFiles(path)
    replace_file(path, "".join(LARGE.splitlines(keepends=True)[:kept]))
    assert [] == poll_once(files)
    (reported,) = poll_once(files)
    assert isinstance(reported, str)
    replace_file(path, LARGE)
    assert [] == poll_once(files)
    assert ["7"] == [policy.version for policy in poll_once(files)]


def test_what_is_lost_is_named_with_the_cure(path, hook):
    path.write_text(LARGE)
    enforcer = Enforcer(Policy.load(path), accounts={"acme": "one"}, hooks=[hook])
    enforcer.watch(path, every=SOON)
    replace_file(path, LARGE[: LARGE.index("add_ons")])
    in_force(enforcer)
    (reported,) = hook.of(events.ReloadFailed)
    assert f"{path} has lost the add-on 'more' under the same version '7'" in reported.problem
    assert "change policy.version if that is meant" in reported.problem
    assert ["more"] == list(enforcer.policy.add_ons)


@pytest.mark.parametrize(
    "less",
    [
        LARGE.replace("    features: [chat]\n", ""),
        LARGE.replace("      reply: 4 hours\n", ""),
        LARGE.replace("  - {path: /chat, requires: [chat]}\n", ""),
        LARGE.replace("    levels: {support: mail}\n", ""),
    ],
)
def test_a_new_version_may_have_less_and_the_same_one_may_have_more_or_other_sizes(path, less):
    path.write_text(LARGE)
    files = PolicyFiles(path)
    for text, good in ((less, False), (less.replace("7}", "8}", 1), True), (LARGE.replace("7}", "8}", 1), True),
                       (LARGE.replace("7}", "8}", 1).replace("seats: 3", "seats: 1"), True)):  # fmt: skip
        replace_file(path, text)
        assert [] == poll_once(files)
        assert [good] == [isinstance(reported, Policy) for reported in poll_once(files)]


def test_a_file_that_goes_from_a_folder_is_missed_unless_the_version_is_another(tmp_path):
    (tmp_path / "a.yaml").write_text("policy: {version: 1}\ntiers: {one: {rank: 1}}\n")
    (tmp_path / "b.yaml").write_text("tiers: {two: {rank: 2}}\n")
    files = PolicyFiles(tmp_path)
    (tmp_path / "b.yaml").unlink()
    assert [] == poll_once(files)
    assert ["has lost the tier 'two' under the same version '1'"] == [
        reported.removeprefix(f"{tmp_path} ").partition(",")[0] for reported in poll_once(files)
    ]
    (tmp_path / "a.yaml").write_text("policy: {version: 2}\ntiers: {one: {rank: 1}}\n")
    assert [] == poll_once(files)
    assert ["2"] == [policy.version for policy in poll_once(files)]


@pytest.mark.parametrize("end", ["...\n", "...\r\n", "...\n\n"])
def test_a_new_version_of_a_file_that_ended_with_three_dots_is_whole_when_it_does(path, end):
    path.write_text(LARGE + end)
    files = PolicyFiles(path)
    new = LARGE.replace("7}", "8}", 1)
    replace_file(path, new)
    assert [] == poll_once(files)
    assert ["does not end with the line ... as it did"] == [
        reported.removeprefix(f"{path} ").partition(",")[0] for reported in poll_once(files)
    ]
    replace_file(path, new + end)
    assert [] == poll_once(files)
    assert ["8"] == [policy.version for policy in poll_once(files)]


# -- many threads ------------------------------------------------------------------------------------------------------


def test_an_older_policy_never_follows_a_newer_one(path, hook):
    """A thread that is slow to apply an update keeps others from polling, and from nothing else."""
    slow, over = threading.Event(), threading.Event()

    class Slow(OneTierAccounts):
        def with_policy(self, policy):
            if policy.version == "2":
                slow.set()
                over.wait(60)
            return self

    enforcer = Enforcer(Policy.load(path), accounts=Slow(), hooks=[hook])
    enforcer.watch(path, every=SOON)
    replace_file(path, policy_text(2))
    late = threading.Thread(target=in_force, args=(enforcer,))
    late.start()
    assert slow.wait(60)
    replace_file(path, policy_text(3))
    assert ("1", 1) == in_force(enforcer)
    over.set()
    late.join()
    assert ("3", 3) == in_force(enforcer)
    assert ["2", "3"] == [reported.after for reported in hook.of(events.Reloaded)[1:]]


def test_news_that_nobody_could_put_in_force_waits_for_the_next_look(path):
    files, news = PolicyFiles(path), []
    replace_file(path, policy_text(2))
    files.poll()
    files.poll()
    with files._lock:
        files.deliver(news.append)
        files.poll()
    assert [] == news
    assert ["2"] == [policy.version for policy in poll_once(files)]


def test_of_many_threads_that_read_the_clock_at_once_one_looks():
    looks, due = [], 60
    clock = PollingClock(lambda: 7, due, lambda: looks.append(1))
    now = monotonic() + 2 * due * 10**6
    assert [True, False] == [clock._claim(now), clock._claim(now)]
    with clock._lock:
        clock._due = 0
        assert 7 == clock()
    assert [] == looks


def test_a_hook_may_ask_while_it_is_told_of_a_reload(path):
    seen = []

    def on_event(event):
        if isinstance(event, events.Reloaded):
            seen.append(in_force(enforcer))

    enforcer = Enforcer(Policy.load(path), accounts={"acme": "one"}, hooks=[on_event])
    enforcer.watch(path, every=SOON)
    replace_file(path, policy_text(2))
    assert ("2", 2) == in_force(enforcer)
    assert [("1", 1), ("2", 2)] == seen


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        ("limits:\n  api:\n    kind: rate\n    on_outage: deny\n", "    on_outage: deny\n"),
        ("limits:\n  api:\n    kind: rate\n    per: ip\n", "    per: ip\n"),
        ("limits:\n  api:\n    kind: rate\n    mode: shadow\n", "    mode: shadow\n"),
        (
            "tiers:\n  two:\n    extends: one\n    rank: 1\n    trial: {of: 14 days, then: one}\n",
            "    trial: {of: 14 days, then: one}\n",
        ),
    ],
)
def test_a_definition_that_lacks_its_last_line_never_takes_effect(path, whole, part):
    start = "policy: {version: 7}\n" + ("" if whole.startswith("tiers") else "tiers: {one: {rank: 1}}\n")
    whole = whole.replace("tiers:\n", "tiers:\n  one: {rank: 1}\n")
    path.write_text(start + whole)
    files = PolicyFiles(path)
    replace_file(path, start + whole.replace(part, ""))
    assert [] == poll_once(files)
    assert [True] == ["under the same version '7'" in reported for reported in poll_once(files)]


def test_a_whole_policy_that_is_cut_anywhere_is_a_problem_and_no_error_of_ours(tmp_path):
    """A faulty tier causes no errors in checks of other tiers."""
    shipped = Path(__file__).resolve().parents[2] / "policies" / "customer-tiers"
    for name, lines in (("sla.yaml", (16, 59, 102)), ("transitions.yaml", (9, 40)), ("tiers.yaml", (30, 117))):
        for kept in lines:
            folder = tmp_path / f"{name}-{kept}"
            shutil.copytree(shipped, folder)
            text = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
            (folder / name).write_text("".join(text[:kept]), encoding="utf-8")
            with contextlib.suppress(PolicyError):
                Policy.load(folder)
