"""The tags of the conformance suite: none is a marker, and one scenario does not apply."""

import pytest

NOT_CACHED = (
    "the suite wants CACHED for a second evaluation of flags that it wants to be STATIC elsewhere;"
    " this provider keeps no evaluations: each answers from the account in force"
)


def pytest_configure(config):
    for tag in ("booleans", "strings", "numbers", "objects", "transaction", "hooks", "Metadata"):
        config.addinivalue_line("markers", f"{tag}: rows of the conformance suite of OpenFeature")


def pytest_bdd_apply_tag(tag, function):
    if tag == "reason-codes-cached":
        pytest.mark.skip(reason=NOT_CACHED)(function)
    return None if tag == "Metadata" else True
