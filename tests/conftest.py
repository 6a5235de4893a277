"""Settings of the property tests, the number of workers, and the fixtures of the helpers."""

import os

from hypothesis import HealthCheck, settings

# No deadline: a shared machine pauses at random, and a pause is no defect of ours.
# `make test` tries few examples, `make test-full` many.
settings.register_profile("default", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile("default")

pytest_plugins = ["servers"]


def pytest_xdist_auto_num_workers():
    """Return half as many workers again as there are cores: tests of servers wait more than they compute."""
    return max(2, min(8, (os.cpu_count() or 1) * 3 // 2))
