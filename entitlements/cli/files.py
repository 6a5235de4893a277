"""Files that commands write."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from entitlements.cli.exit_codes import CommandError, ExitCode


def write_atomically(path: str, pieces: Iterable[bytes]) -> None:
    """Write a whole file or nothing; a reader sees the old file until the new one is complete."""
    from secrets import token_hex

    target = Path(path)
    if target.is_dir():
        example = target / "policy.yaml"
        raise CommandError(f"{path} is a folder; name a file, such as {example}", ExitCode.UNREADABLE)
    temporary = target.parent / f".{target.name}.{token_hex(8)}"
    try:
        with temporary.open("xb") as file:
            file.writelines(pieces)
        temporary.replace(target)
    except OSError as error:
        cause = error.strerror or str(error)
        message = f"{path}: the file cannot be written ({cause}); name another one"
        raise CommandError(message, ExitCode.UNREADABLE) from None
    finally:
        with suppress(OSError):
            temporary.unlink()
