"""
A virtual environment for each peer, because their pins conflict: `limits` wants redis-py below 8.

uv makes them once in `.bench/`, and again when the pins here change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / ".bench"
OURS = "ours"
PINS = {
    "limits": ("limits==5.8.0", "redis[hiredis]==7.4.1"),
    "throttled": ("throttled-py[redis]==3.5.0", "redis[hiredis]==7.4.1"),
    "pyrate": ("pyrate-limiter==4.5.1", "redis[hiredis]==8.1.0"),
    "halt": ("halt-rate==0.6.0", "redis[hiredis]==8.1.0"),
}
"""Packages of each environment, by name; `ours` is the one that this runs in."""


class Missing(Exception):
    """An environment cannot be made here; its cases are left out, with the reason."""


def interpreter(name: str) -> str:
    """
    Return the interpreter of an environment, which is made first if it is missing.

    Raises:
        Missing: If there is no uv, or uv cannot get the packages.
    """
    if name == OURS:
        return sys.executable
    pins = PINS[name]
    mark = hashlib.sha256("\n".join((sys.version, *pins)).encode()).hexdigest()[:12]
    folder = FOLDER / f"{name}-{mark}"
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        base = getattr(sys, "_base_executable", sys.executable)
        _uv("venv", "--python", base, str(folder))
        _uv("pip", "install", "--python", str(python), *pins)
        (folder / "made").touch()
    return str(python)


def _uv(*words: str) -> None:
    ours = ROOT / ".bootstrap" / "bin" / "uv"
    uv = str(ours) if ours.exists() else shutil.which("uv")
    if uv is None:
        raise Missing("no uv: make brings it to .bootstrap")
    settings = {"UV_CACHE_DIR": str(FOLDER / "cache"), "UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "true"}
    if "PIP_CERT" in os.environ:
        settings["SSL_CERT_FILE"] = os.environ["PIP_CERT"]
    done = subprocess.run(
        [uv, *words, "--quiet"], env=settings | os.environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Missing(done.stderr.strip()[-500:] or f"uv {words[0]} failed")
