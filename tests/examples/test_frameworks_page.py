"""docs/frameworks.md, *From an empty folder*: the commands of every framework run as they stand, and gate and limit."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from servers import free_port

from entitlements.cli import main
from entitlements.cli.starter import COMMANDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "frameworks.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## From an empty folder\n")[2].partition("\n## ")[0]
BLOCKS = [block.strip().splitlines() for block in re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)]


def test_the_page_shows_every_framework_with_five_commands_or_fewer():
    shown = {re.search(r"--framework (\w+)", "\n".join(block))[1]: block for block in BLOCKS}

    assert set(COMMANDS) == set(shown)
    assert all(len(block) <= 5 for block in BLOCKS)
    assert [] == [name for name, block in shown.items() if COMMANDS[name] not in block]
    assert [] == [name for name, block in shown.items() if f"cli,{name}]" not in block[0]]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[1].rpartition(" ")[2])
def test_from_an_empty_folder_to_a_gated_and_a_limited_route(block, tmp_path, monkeypatch):
    install, init, enter, serve, curl = block
    assert install.startswith("pip install ")
    monkeypatch.chdir(tmp_path)
    assert 0 == main(shlex.split(init)[1:])
    folder = tmp_path / enter.removeprefix("cd ")
    port = free_port()
    command = shlex.split(serve.replace("8000", str(port)))
    command = [sys.executable, *(command[1:] if command[0] == "python" else ["-m", *command])]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = curl.rpartition(" ")[2].replace("8000", str(port))
    headers = dict([re.search(r"-H '([^:]+): ([^']+)'", curl).groups()])
    try:
        until = time.monotonic() + 120
        while True:
            try:
                first = httpx.get(url, headers=headers, timeout=60)
                break
            except httpx.TransportError:
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.05)
        statuses = [httpx.get(url, headers=headers, timeout=60).status_code for _ in range(5)]
        gated = httpx.get(url.replace("leads", "export"), headers=headers, timeout=60)
        other = httpx.get(url.replace("leads", "export"), headers={"x-api-key": "other"}, timeout=60)
    finally:
        server.terminate()
        server.wait(60)

    assert (200, True) == (first.status_code, '"leads";r=99' in first.headers["ratelimit"])
    assert [200] * 4 + [429] == statuses
    assert (403, "application/problem+json") == (gated.status_code, gated.headers["content-type"])
    assert 200 == other.status_code


def test_nothing_is_overwritten_and_what_is_wrong_is_named(tmp_path, capsys):
    folder = tmp_path / "deep" / "shop"
    assert 0 == main(["init", str(folder)])
    assert "uvicorn main:app" in capsys.readouterr().out
    assert 2 == main(["init", str(folder)])
    assert "policy.yaml exists, and is not overwritten" in capsys.readouterr().err
    assert 2 == main(["init", str(tmp_path / "other"), "--framework", "bottle"])
    assert "'bottle' is not one of fastapi" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    (tmp_path / "file").touch()
    assert 4 == main(["init", str(tmp_path / "file" / "shop")])
    assert "name a folder that can be written" in capsys.readouterr().err
    assert 0 == main(["validate", str(folder / "policy.yaml")])
