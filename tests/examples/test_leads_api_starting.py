"""What `make demo-api` says, and when."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import httpx
import pytest
from leads import EXAMPLE
from servers import free_port


def started(folder, port, store=""):
    """Start the program, with a database in *folder*."""
    settings = {
        "PORT": str(port), "LEADS_DATABASE": str(folder / "leads.db"), "ENTITLEMENTS_STORE": store, "WEB_CONCURRENCY": "2",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, EXAMPLE / "app.py"],
        env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("shared", [False, True])
def test_it_says_where_it_serves_once_it_does(tmp_path, valkey, shared):
    port = free_port()
    with started(tmp_path, port, valkey.url if shared else "") as process:
        try:
            assert f"Leads on http://127.0.0.1:{port}, counting in" in process.stdout.readline()
            assert 200 == httpx.get(f"http://127.0.0.1:{port}/healthz").status_code
        finally:
            process.terminate()


def test_a_port_that_is_taken_is_named_with_the_cure(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with started(tmp_path, port) as process:
            out, said = process.communicate(timeout=300)

    assert (1, "") == (process.returncode, out)
    assert f"127.0.0.1:{port}: Address already in use; name another port, as by PORT=" in said
