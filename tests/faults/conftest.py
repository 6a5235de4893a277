"""Rows of the tables below the table of faults: one for each fault of a database, one mark for each kind of client."""

import pytest


@pytest.fixture(autouse=True)
def _row(request, record_property):
    """Note the table and the fault of a test's `fault_row`, and its client."""
    if marker := request.node.get_closest_marker("fault_row"):
        parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
        named = [parameters[name] for name in ("client", "kind", "database") if name in parameters]
        record_property("row", (*marker.args, *(named or [marker.kwargs.get("client", "threads")])))
