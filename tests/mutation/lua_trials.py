"""
Trials of Lua mutants: calls of the scripts are recorded once, with replies and expiries, and played against each mutant.

Calls come from the histories of `tests/stores/test_redis_equality.py`. Where a recording shows another reply, the test
itself judges the mutant: a byte that no decoder reads makes no difference.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mutate import Mutant

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "entitlements"
EXAMPLES = 150
"""Random histories."""
TOLERANCE = 600_000
"""Milliseconds by which expiries may differ: they move while a recording is played."""


@dataclass
class Recording:
    """
    Calls of one history.

    Args:
        name: Name of the history.
        judge: Plays it with changed scripts on a client; returns whether the test fails.
        reads_records: The test compares records too, so it judges mutants that give the same replies.
        calls: Digest of the script, keys and arguments of each call; None where the database is emptied.
        replies: Replies, and expiries of the keys after each call.
    """

    name: str
    judge: object
    reads_records: bool = False
    calls: list = field(default_factory=list)
    replies: list = field(default_factory=list)


class Recorder:
    """A client that records the calls of scripts."""

    def __init__(self, client, recording: Recording, scripts: dict):
        self._client, self._recording, self._scripts = client, recording, scripts

    def __getattr__(self, name):
        return getattr(self._client, name)

    def flushdb(self):
        self._recording.calls.append(None)
        return self._client.flushdb()

    def evalsha(self, sha, count, *rest):
        keys, arguments = rest[:count], rest[count:]
        self._recording.calls.append((sha, keys, arguments))
        return self._client.evalsha(sha, count, *rest)

    def change(self, script):
        """Note which script a digest on injected time belongs to, and return it unchanged."""
        from injected_time import with_injected_time

        self._scripts[with_injected_time(script).sha] = script
        return script


def equality():
    """Return the module of the differential tests."""
    name = "equality"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "stores" / "test_redis_equality.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


class Corpus:
    """
    Every recording, and how often each told a mutant.

    Args:
        client: Client of an empty server.
    """

    def __init__(self, client):
        self.scripts: dict[bytes, object] = {}
        self.recordings: list[Recording] = []
        self.told: Counter[str] = Counter()
        tests = equality()
        told = [(story, asked) for asked in (tests.Both, tests.General) for story in tests.STORIES]
        for story, asked in [*told, (tests.one_quota, tests.Ways)]:
            reads = asked is tests.Ways
            self._record(
                client, f"{story.__name__} {asked.__name__}", partial(_tell, story, asked), reads_records=reads
            )
        for number, history in enumerate(_random_histories()):
            self._record(client, f"history {number}", partial(_play, history))

    @property
    def timed(self) -> dict[bytes, object]:
        """The scripts on injected time, by their digest."""
        from injected_time import with_injected_time

        return {sha: with_injected_time(script) for sha, script in self.scripts.items()}

    def _record(self, client, name, judge, *, reads_records=False):
        recording = Recording(name, judge, reads_records)
        recorder = Recorder(client, recording, self.scripts)
        if judge(recorder, recorder.change):
            raise SystemExit(f"{name} fails without a mutant")
        recording.replies = play_calls(client, recording.calls, {})
        self.recordings.append(recording)

    def kills(self, client, mutant: Mutant) -> str | None:
        """Return the recording that tells a mutant, or None."""
        from injected_time import with_injected_time

        from entitlements.stores.redis.scripts import make_script

        before = (PACKAGE / mutant.file).read_text(encoding="utf-8")

        def change(script):
            text = script.text.decode()
            return make_script(script.name, text.replace(before, mutant.source)) if before in text else script

        changed = {}
        for sha, script in self.scripts.items():
            other = with_injected_time(change(script))
            if other.sha != sha:
                changed[sha] = other
        for each in changed.values():
            try:
                client.script_load(each.text)
            except Exception:  # noqa: BLE001 - it is no script
                return "load"
        for recording in sorted(self.recordings, key=lambda each: (-self.told[each.name], len(each.calls))):
            if not any(call and call[0] in changed for call in recording.calls):
                continue
            replies = play_calls(client, recording.calls, {sha: each.sha for sha, each in changed.items()})
            has_differed = recording.reads_records or any(map(differ, recording.replies, replies))
            if has_differed and recording.judge(client, change):
                return recording.name
        return None


def play_calls(client, calls, shas) -> list:
    """Return the replies and expiries of calls, with other scripts in place of some."""
    pipeline, found = client.pipeline(transaction=False), []
    client.flushdb()
    for start in range(0, len(calls), 400):
        for call in calls[start : start + 400]:
            if call is None:
                pipeline.flushdb()
                continue
            sha, keys, arguments = call
            pipeline.evalsha(shas.get(sha, sha), len(keys), *keys, *arguments)
            for key in keys[:2]:
                pipeline.pttl(key)
        found += pipeline.execute(raise_on_error=False)
    return found


def differ(one, other) -> bool:
    """Return whether two replies differ; expiries of centuries may by a few minutes."""
    if type(one) is int and type(other) is int and min(one, other) > TOLERANCE:
        return abs(one - other) > TOLERANCE
    if isinstance(one, Exception) and isinstance(other, Exception):
        return False
    return one != other


def _tell(story, asked, client, change) -> bool:
    try:
        story(asked(client, change))
    except Exception:  # noqa: BLE001 - whatever a changed script does wrong is noticed
        return True
    return False


def _play(history, client, change) -> bool:
    try:
        return equality().first_difference(history, client, change) is not None
    except Exception:  # noqa: BLE001 - whatever a changed script does wrong is noticed
        return True


def _random_histories() -> list:
    from hypothesis import Phase, given, settings

    tests, found = equality(), []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=tests.any_fixture)  # fmt: skip
    @given(history=tests.histories)
    def collect(history):
        found.append(history)

    collect()
    return found


def try_script(corpus: Corpus, port: int, mutant: Mutant) -> str:
    """Try a mutant on the server of a port; return what a child answers."""
    import redis

    client = redis.Redis(port=port, socket_timeout=4)
    try:
        name = corpus.kills(client, mutant)
    except redis.TimeoutError:
        name = "endless"
        with suppress(redis.RedisError):
            redis.Redis(port=port).script_kill()
    return f"killed\n{name}" if name else "survived"
