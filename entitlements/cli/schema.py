"""`entitlements schema`: the JSON Schema of policy files."""

from __future__ import annotations

from entitlements.cli.options import JsonOption


def schema(*, _as_json: JsonOption = False) -> int:
    """
    Write the JSON Schema of policy files.

    Editors complete and check with it. It is JSON with and without --json.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.exit_codes import ExitCode
    from entitlements.policy.schema import schema_text

    CliConsole().put(schema_text())
    return ExitCode.YES
