"""
Metrics of an enforcer for Prometheus, served over HTTP.

    pip install 'entitlements[prometheus]'
    .venv/bin/python examples/prometheus_metrics.py redis://localhost:6379   # metrics on http://localhost:9000/metrics

The dashboard and the alert rules for these metrics are in `monitoring/`.
"""

from __future__ import annotations

import sys
import time

from prometheus_client import start_http_server

from entitlements import Enforcer, Policy
from entitlements.integrations.prometheus import PrometheusHook


def main() -> None:
    """Charge an account ten times a second, and serve the metrics."""
    policy = Policy.load("policies/minimal.yaml")
    store = sys.argv[1] if len(sys.argv) > 1 else "memory://"
    with Enforcer(policy, accounts={"acme": "pro"}, store=store, hooks=[PrometheusHook()]) as enforcer:
        start_http_server(9000)
        while True:
            print(enforcer.consume("acme", {"api": 1, "leads": 1}))
            time.sleep(0.1)


if __name__ == "__main__":
    main()
