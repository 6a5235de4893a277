"""Policy files that change under a running enforcer: good ones take effect, others are told and do not."""

import asyncio
import os
import random
import threading
from datetime import timedelta

import pytest

from entitlements import AsyncEnforcer, Enforcer, PolicyError
from entitlements.model import events
from entitlements.policy.watching import PolicyFiles
from entitlements.testing import RecordingHook

SOON = timedelta(microseconds=1)


def written(version, leads=None):
    """Return a policy whose first and last lines agree, so that a mixture of two is seen."""
    filler = "# A line that makes the file longer\n" * 40
    return (
        f"policy: {{version: {version}}}\nlimits: {{leads: {{kind: quota}}}}\n{filler}"
        f"tiers: {{one: {{rank: 1, limits: {{leads: {leads or version}}}}}}}\n"
    )


@pytest.fixture
def path(tmp_path):
    (tmp_path / "policy.yaml").write_text(written(1))
    return tmp_path / "policy.yaml"


@pytest.fixture
def hook():
    return RecordingHook()


@pytest.fixture
def enforcer(path, hook):
    from entitlements import Policy

    enforcer = Enforcer(Policy.load(path), accounts={"acme": "one"}, hooks=[hook])
    enforcer.watch(path, every=SOON)
    return enforcer


def replaced(path, text):
    """Write *text* as an editor that is careful does."""
    beside = path.with_name("beside.tmp")
    beside.write_text(text)
    beside.rename(path)


def in_force(enforcer):
    """Return the version and the limit that the third call from now sees: one looks, one finds it unchanged."""
    for _ in range(3):
        decision = enforcer.decide("acme", "leads")
    return decision.policy, decision.limit


def test_a_file_that_is_replaced_takes_effect(enforcer, path, hook):
    assert ("1", 1) == in_force(enforcer)
    replaced(path, written(2))
    assert ("2", 2) == in_force(enforcer)
    assert ("1", "2") == (hook.of(events.Reloaded)[-1].before, hook.of(events.Reloaded)[-1].after)


def test_a_file_that_is_written_in_place_takes_effect_also_with_the_same_size_and_time(enforcer, path):
    before = path.stat()
    path.write_text(written(2))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert before.st_size == path.stat().st_size
    assert ("2", 2) == in_force(enforcer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (written(2)[:-1], "newline"),
        (written(2)[:-30], "newline"),
        ("", "newline"),
        (written(2).replace("quota", "quote"), "quote"),
        ("tiers: [\n", "policy.yaml"),
    ],
)
def test_what_is_bad_or_cut_off_is_told_once_and_never_takes_effect(enforcer, path, hook, caplog, text, said):
    replaced(path, text)
    for _ in range(5):
        assert ("1", 1) == in_force(enforcer)
    (told,) = hook.of(events.ReloadFailed)
    assert said in told.problem
    assert str(path) == told.path
    assert 1 == caplog.text.count("the policy in force stays")
    replaced(path, written(3))
    assert ("3", 3) == in_force(enforcer)


def test_a_file_that_vanishes_leaves_the_policy_in_force(enforcer, path, hook):
    path.unlink()
    assert ("1", 1) == in_force(enforcer)
    assert hook.of(events.ReloadFailed)
    path.write_text(written(2))
    assert ("2", 2) == in_force(enforcer)


def test_a_file_that_is_still_being_written_is_not_read(path):
    files = PolicyFiles(path)
    with path.open("w") as file:
        for line in written(2).splitlines(keepends=True):
            file.write(line)
            file.flush()
            assert files.look() is None
    assert "2" == files.look().version
    assert files.look() is None


def test_a_folder_is_watched_file_by_file(tmp_path, hook):
    from entitlements import Policy

    (tmp_path / "a.yaml").write_text("policy: {version: 1}\nlimits: {leads: {kind: quota}}\n")
    (tmp_path / "b.yaml").write_text("tiers: {one: {rank: 1, limits: {leads: 1}}}\n")
    enforcer = Enforcer(Policy.load(tmp_path), accounts={"acme": "one"}, hooks=[hook])
    enforcer.watch(tmp_path, every=SOON)
    replaced(tmp_path / "b.yaml", "tiers: {one: {rank: 1, limits: {leads: 5}}}\n")
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
    replaced(path, written(2))
    assert ("2", 2) == in_force(enforcer)


def test_no_mixture_is_ever_in_force_while_somebody_writes_all_the_time(enforcer, path):
    over, chance = threading.Event(), random.Random(1)

    def write():
        for version in range(2, 60):
            text = written(version)
            if version % 2:
                replaced(path, text)
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


async def test_an_event_loop_reads_files_in_a_thread(path, hook):
    from entitlements import Policy

    enforcer = AsyncEnforcer(Policy.load(path), accounts={"acme": "one"}, hooks=[hook])
    await enforcer.watch(path, every=SOON)
    replaced(path, written(2))
    async with asyncio.timeout(10):
        while (await enforcer.decide("acme", "leads")).policy != "2":  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.01)
    replaced(path, "tiers: [\n")
    async with asyncio.timeout(10):
        while not hook.of(events.ReloadFailed):
            await enforcer.decide("acme", "leads")
            await asyncio.sleep(0.01)
    assert "2" == (await enforcer.decide("acme", "leads")).policy
