"""
Peers in environments of their own: their pins conflict with ours and with each other's.

uv makes each once under `.bench/`, from the list below, with the interpreter of this process.
The packages that serve requests (uvicorn, Starlette and so on) have the versions installed
here, so that a difference is the peer's.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = "entitlements"
SERVING = ("uvicorn", "uvloop", "httptools", "starlette", "fastapi", "hiredis")
"""Packages that must have the same version in all environments that serve requests."""

HTTP = {
    "slowapi": ("slowapi==0.1.10", "limits[redis]==5.8.0", "redis[hiredis]==7.4.1"),  # limits wants redis<8
    "fastapi-limiter": ("fastapi-limiter==0.2.0", "pyrate-limiter==4.5.1", "redis[hiredis]==8.1.0"),
}
FLAGS = {"openfeature": ("openfeature-sdk==0.10.0",), "growthbook": ("growthbook==4.0.0",)}


def requirements(name: str) -> list[str]:
    """Return the packages of a peer."""
    if name in FLAGS:
        return list(FLAGS[name])
    return [*HTTP[name], *(f"{each}=={version(each)}" for each in SERVING)]


def python_of(name: str) -> str:
    """Return the interpreter of a peer's environment, which is made first if it is missing or its packages changed."""
    if name == OURS:
        return sys.executable
    folder = ROOT / ".bench" / name
    python, made_of = folder / "bin" / "python", folder / "made-of.txt"
    wanted = "\n".join([sys.version, *requirements(name)])
    if not made_of.exists() or made_of.read_text(encoding="utf-8") != wanted:
        print(f"making an environment for {name}", file=sys.stderr, flush=True)
        _uv("venv", "--clear", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--compile-bytecode", "--python", str(python), *requirements(name))
        made_of.write_text(wanted, encoding="utf-8")
    return str(python)


def _uv(*arguments: str) -> None:
    uv = ROOT / ".bootstrap" / "bin" / "uv"
    found = str(uv) if uv.exists() else shutil.which("uv")
    if found is None:
        raise SystemExit("uv is not there: `make test` installs it, or put it on PATH")
    environment = {"UV_CACHE_DIR": str(ROOT / ".bootstrap" / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
    environment["UV_SYSTEM_CERTS"] = "true"
    if "PIP_CERT" in os.environ:
        environment["SSL_CERT_FILE"] = os.environ["PIP_CERT"]
    subprocess.run([found, *arguments, "--quiet"], env=environment | os.environ, check=True)


def versions_of(name: str) -> dict[str, str]:
    """Return every distribution in an environment with its version."""
    if name == OURS:
        return installed()
    said = subprocess.run(
        [python_of(name), "-m", "benchmarks.peers"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(said.stdout)


def installed() -> dict[str, str]:
    """Return every distribution of this environment with its version."""
    return dict(sorted((each.name.lower(), each.version) for each in distributions()))


def chief(versions: dict[str, dict[str, str]], *names: str) -> str:
    """Return the main versions of each environment, in one line."""
    said = (
        f"{environment}: " + ", ".join(f"{each} {found[each]}" for each in names if each in found)
        for environment, found in versions.items()
    )
    return "; ".join(said)


def machine() -> str:
    """Return the interpreter and the machine, in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()},"
        f" {os.cpu_count()} x {model}"
    )


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table: the first column aligned left, figures right."""
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(path: Path, raw: dict) -> None:
    """Write raw figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(json.dumps(installed()))
