"""
Run the services of `compose.yaml` as plain processes: a server that counts, and gunicorn, which waits for it.

    python examples/deploy/run.py --port 8000 --server valkey-server
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
SERVERS = ("valkey-server", "redis-server")
PATIENCE = 60  # seconds that the server may take to start


def main() -> int:
    """Start both services, wait until the web server ends, and stop what is left."""
    arguments = parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the blocks below stop what they started
    services = YAML(typ="safe").load((HERE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    counts = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [arguments.server, *services["valkey"]["command"][1:], "--port", str(counts), "--dir", folder]
        server = subprocess.Popen([*command, "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
        try:
            wait_for(counts, server)
            environment = dict(services["web"]["environment"])
            environment["BIND"] = f"127.0.0.1:{arguments.port}"
            store = environment["ENTITLEMENTS_STORE"]
            environment["ENTITLEMENTS_STORE"] = store.replace("valkey:6379", f"127.0.0.1:{counts}")
            start = [sys.executable, "-m", *image_command()]
            web = subprocess.Popen(start, cwd=HERE, env={**os.environ, **environment})
            try:
                return web.wait()
            except KeyboardInterrupt:
                return 0
            finally:
                web.terminate()
                web.wait()
        finally:
            server.terminate()
            server.wait()


def parsed() -> argparse.Namespace:
    """Return the arguments; the server is the first that is installed."""
    parser = argparse.ArgumentParser(description="Run the services of compose.yaml as plain processes.")
    parser.add_argument("--port", type=int, default=8000, help="the port of the web server")
    found = next(filter(None, map(shutil.which, SERVERS)), None)
    parser.add_argument("--server", default=found, required=found is None, help="valkey-server or redis-server")
    return parser.parse_args()


def image_command() -> list[str]:
    """Return the command of the image, as its Dockerfile says."""
    line = next(each for each in (HERE / "Dockerfile").read_text(encoding="utf-8").splitlines() if each[:3] == "CMD")
    return [word.strip('",') for word in shlex.split(line.removeprefix("CMD ").strip("[]"))]


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a port answers, as `depends_on` with `service_healthy` does."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"the server did not start on port {port}; look at its output")
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
