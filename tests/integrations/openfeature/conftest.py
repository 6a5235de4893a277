"""The tags of the conformance suite: none is a marker, and one scenario does not apply."""

import pytest

NOT_CACHED = "evaluations of this provider are not cached: it answers from the account that is in force"


def pytest_configure(config):
    for tag in ("booleans", "strings", "numbers", "objects"):
        config.addinivalue_line("markers", f"{tag}: rows of the conformance suite of OpenFeature")


def pytest_bdd_apply_tag(tag, function):
    if tag == "reason-codes-cached":
        pytest.mark.skip(reason=NOT_CACHED)(function)
    return True
