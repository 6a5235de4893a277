"""`entitlements schema`: the JSON Schema of policy files."""

from __future__ import annotations

from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.options import JsonOption


def schema(*, _as_json: JsonOption = False) -> int:
    """
    Write the JSON Schema of policy files.

    Editors use it to complete and to check. The output is JSON with and without --json.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.policy.schema import schema_text

    CliConsole().write(schema_text())
    return ExitCode.YES
