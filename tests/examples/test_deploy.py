"""examples/deploy: the services of compose.yaml as plain processes, asked over HTTP as a probe and a client would."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from ruamel.yaml import YAML
from servers import binary_of, free_port

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "deploy"
START_UP = 120  # seconds


@pytest.fixture
def url():
    """Serve the example by its run.py."""
    port = free_port()
    server = binary_of("valkey-9")
    command = [sys.executable, FOLDER / "run.py", "--port", str(port), "--server", server]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    assert process.wait(60) in {0, -15}


def readiness(url):
    """Return the first answer of the route for readiness."""
    until = time.monotonic() + START_UP
    while True:
        try:
            return httpx.get(f"{url}/readyz", timeout=60)
        except httpx.TransportError:
            assert time.monotonic() < until, "the services did not start"
            time.sleep(0.05)


def test_the_services_start_are_ready_and_count_together(url):
    ready = readiness(url)
    healthy = httpx.get(f"{url}/healthz", timeout=60)
    answers = [httpx.get(f"{url}/leads", headers={"x-api-key": "demo"}, timeout=60) for _ in range(6)]

    assert (200, True, "in the store") == (ready.status_code, ready.json()["ready"], ready.json()["counts"])
    assert {"status": "up"} == healthy.json()
    assert [200] * 5 + [429] == [each.status_code for each in answers]


def test_probes_and_images_name_what_there_is():
    yaml = YAML(typ="safe")
    deployment, service = yaml.load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    compose = yaml.load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    program = (FOLDER / "app.py").read_text(encoding="utf-8")
    copied = [
        word
        for line in (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY")
        for word in line.split()[1:-1]
    ]

    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    probes = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
    assert [] == [path for path in probes if f'@app.get("{path}")' not in program]
    assert compose["web"]["depends_on"] == {"valkey": {"condition": "service_healthy"}}
    assert (FOLDER / compose["web"]["build"]["context"] / compose["web"]["build"]["dockerfile"]).exists()
    assert [] == [name for name in copied if not (FOLDER.parents[1] / name).exists()]
