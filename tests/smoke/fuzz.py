"""
Coverage-guided fuzzing by atheris of properties that let only errors of this package escape.

    make fuzz [ARGS="replies 300"]   # one property for 300 seconds; it is one of PROPERTIES

Each property of `PROPERTIES` gets so many seconds, 20 by default: atheris makes the bytes from which hypothesis draws
its examples. The first one that fails ends the run with its example, and a file `crash-…` that repeats it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PROPERTIES = {
    "replies": ("faults", "test_fuzz", "test_a_reply_of_any_kind_is_an_answer_or_a_store_error"),
    "exports": ("faults", "test_fuzz", "test_an_export_of_any_bytes_is_read_or_refused"),
    "requests": ("faults", "test_fuzz", "test_a_request_of_any_path_is_answered"),
    "policies": ("policy", "test_yaml", "test_any_mapping_parses_or_is_a_policy_error"),
    "rates": ("policy", "test_quantities", "test_reading_a_text_raises_nothing_but_value_errors"),
}
"""Folder, module and function below `tests/`."""
SECONDS = "20"


def fuzz(name: str, seconds: str) -> None:
    """Fuzz one property in this process, which ends with it."""
    import atheris

    folder, module, function = PROPERTIES[name]
    sys.path[:0] = [str(TESTS.parent), str(TESTS / "helpers"), str(TESTS / folder)]
    with atheris.instrument_imports(include=["entitlements"]):
        found = __import__(module)
    options = [sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-print_final_stats=1"]
    atheris.Setup(options, getattr(found, function).hypothesis.fuzz_one_input)
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzz the named property, or each in a process of its own; return the status of the first that fails."""
    if len(arguments) == 2 and arguments[0] in PROPERTIES:
        fuzz(*arguments)  # atheris ends the process
    names = [each for each in arguments[:1] if each in PROPERTIES] or list(PROPERTIES)
    for name in names:
        print(f"--- {name}", flush=True)
        status = subprocess.run([sys.executable, __file__, name, SECONDS], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
