"""How hard the property tests try: a little in `make test`, a lot in `make test-full`."""

from hypothesis import HealthCheck, settings

# No deadline: a shared machine pauses at random, and a pause is no defect of ours.
settings.register_profile("default", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile("default")

pytest_plugins = ["servers"]
