"""Styles on a terminal: headings are bold, gains green, losses red; in a pipe there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = [
    "--policy",
    str(ROOT / "policies" / "customer-tiers"),
    "--accounts",
    str(ROOT / "examples" / "accounts.csv"),
    "--at",
    "2026-12-01",
]
OLD, NEW = """
policy: {version: 1}
features: {sso: x, export: x}
limits: {seats: {kind: allocation}}
tiers: {pro: {rank: 1, features: [sso], limits: {seats: 5}}, max: {rank: 2, features: [sso, export], limits: {seats: 9}}}
""", """
policy: {version: 2}
features: {sso: x, export: x}
limits: {seats: {kind: allocation}}
tiers: {pro: {rank: 1, features: [export], limits: {seats: 3}}, max: {rank: 2, features: [sso, export], limits: {seats: 9}}}
"""  # fmt: skip


@pytest.fixture
def shown(capsys, monkeypatch, tmp_path):
    for name, text in (("old.yaml", OLD), ("new.yaml", NEW)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(*argv, terminal):
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("FORCE_COLOR", "1") if terminal else monkeypatch.delenv("FORCE_COLOR", raising=False)
        main(list(argv))
        return capsys.readouterr().out

    return run


CASES = {
    "diff": (["diff", "old.yaml", "new.yaml"], ["\x1b[1mtier pro\x1b[0m", "\x1b[32m  + export", "\x1b[31m  - sso"]),
    "preview": (["preview", "quillmark", "mid-market", *ARGUMENTS], ["\x1b[1mquillmark: ", "\x1b[1mloses:", "\x1b[31m  sso"]),
    "assign": (["assign", "quillmark", *ARGUMENTS], ["\x1b[1maccount 'quillmark' belongs in enterprise"]),
    "review": (["review", *ARGUMENTS], ["\x1b[1maccount  ", "\x1b[33mquillmark"]),
    "one": (["review", "rookhaven", "--event", "non-renewal", *ARGUMENTS], ["\x1b[33mrookhaven (small-business): downgrade"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_terminal_gets_styles_and_a_pipe_gets_the_same_lines_without(name, shown):
    argv, styled = CASES[name]
    on_terminal, in_pipe = shown(*argv, terminal=True), shown(*argv, terminal=False)

    assert [] == [each for each in styled if each not in on_terminal]
    assert "\x1b" not in in_pipe
    assert in_pipe.splitlines()[0] in on_terminal
