"""`entitlements import`: policies from other formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.groups import command_group
from entitlements.cli.options import JsonOption

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog
    from entitlements.pricing2yaml import Imported, Omission

_SUFFIXES = {".yaml", ".yml"}


def import_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the subcommands of `import`."""
    about = "Make policies from other formats."
    return command_group("import", about, {"pricing2yaml": pricing2yaml}, epilog, no_args_is_help=True)


def pricing2yaml(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="The price list, or a folder of them, with its subfolders.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="POLICY",
            help="The policy file to write, or the folder for several; default: stdout.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """
    Make a policy from a price list in the Pricing2Yaml format, 1.x to 3.x.

    Plans become tiers, add-ons add-ons, with what they depend on and exclude. The policy is loaded, and asked for every
    feature and usage limit of every plan and add-on. What it cannot say is listed; nothing is guessed.
    """
    if source.is_dir():
        return _import_folder(source, output, as_json=as_json)
    return _import_file(source, output, as_json=as_json)


def _import_file(source: Path, output: Path | None, *, as_json: bool) -> int:
    from entitlements.cli.console import CliConsole

    found = _imported(source)
    if isinstance(found, str):
        raise CommandError(found, ExitCode.UNREADABLE)
    is_written = output is not None
    _write(found, output)
    console = CliConsole(stderr=not (is_written or as_json))
    console.write_answer(lambda: _report(source, found), _lines(found, output), as_json=as_json)
    if not is_written and not as_json:
        CliConsole().write(found.text)
    return ExitCode.NO if found.comparison.differences else ExitCode.YES


def _import_folder(source: Path, output: Path | None, *, as_json: bool) -> int:
    from entitlements.cli.console import CliConsole, with_progress

    files = sorted(each for each in source.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
    if not files:
        raise CommandError(f"{source}: there is no .yaml or .yml file in it; name a folder of price lists")
    results: dict[Path, Imported | str] = {}
    for file in with_progress(files, len(files), "price lists", at_least=20):
        found = results[file] = _imported(file)
        if output is not None and not isinstance(found, str):
            target = output / file.relative_to(source).with_suffix(".yaml")
            _make_folder(target.parent)
            _write(found, target)
    CliConsole().write_answer(lambda: _summary(results), _summary_lines(results), as_json=as_json)
    return ExitCode.YES if all(_is_right(each) for each in results.values()) else ExitCode.NO


def _imported(file: Path) -> Imported | str:
    """Return the policy of a price list, or the message of its error."""
    from entitlements.pricing2yaml import InvalidPriceList, import_price_list

    try:
        return import_price_list(file)
    except InvalidPriceList as error:
        return str(error)


def _is_right(found: Imported | str) -> bool:
    return not isinstance(found, str) and not found.comparison.differences


def _write(found: Imported, output: Path | None) -> None:
    from entitlements.cli.files import write_atomically

    if output is not None:
        write_atomically(str(output), [found.text.encode()])


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"{folder}: {error.strerror}; name a folder that can be written", ExitCode.UNREADABLE
        ) from None


def _lines(found: Imported, output: Path | None) -> Iterator[str]:
    """Yield what was made from one price list, what is not said, and what is written otherwise."""
    prices, comparison = found.prices, found.comparison
    parts = {"plan": prices.plans, "add-on": prices.add_ons, "feature": prices.features, "usage limit": prices.limits}
    counts = ", ".join(f"{len(each)} {noun}{'' if len(each) == 1 else 's'}" for noun, each in parts.items())
    same = comparison.asked - len(comparison.differences)
    yield f"{f'Wrote {output}' if output else prices.name}: {counts}; {same:,} of {comparison.asked:,} answers as the price list says"
    yield from (f"  {each}" for each in comparison.differences)
    yield from _omission_lines(found.converted.omissions)
    if found.notes:
        yield "Notes:"
        yield from (f"  {each}" for each in found.notes)


def _omission_lines(omissions: Sequence[Omission]) -> Iterator[str]:
    yield f"Not said ({len(omissions)}):" if omissions else "The price list is said whole."
    for kind in dict.fromkeys(omission.kind for omission in omissions):
        yield f"  {kind.value}"
        yield from (f"    {omission.path}: {omission.text}" for omission in omissions if omission.kind is kind)


def _summary_lines(results: dict[Path, Imported | str]) -> Iterator[str]:
    summary = _summary(results)
    yield from (each for each in results.values() if isinstance(each, str))
    for file, found in results.items():
        if not isinstance(found, str):
            kinds = Counter(omission.kind.value for omission in found.converted.omissions)
            said = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
            yield f"{file}: {said or 'said whole'}"
            yield from (f"  {each}" for each in found.comparison.differences)
    yield ""
    yield f"{summary['loaded']} of {summary['files']} price lists load, {summary['whole']} ({summary['share']} %) are said whole"
    yield f"{summary['same']:,} of {summary['asked']:,} answers are as the price lists say"
    if summary["omissions"]:
        yield "Not said, by number of price lists:"
        yield from (f"{each['files']:6} {each['kind']} ({each['count']})" for each in summary["omissions"])


def _summary(results: dict[Path, Imported | str]) -> dict[str, Any]:
    """Return the figures of a folder, the omissions ranked by the number of price lists that have them."""
    from entitlements.model.display import in_json
    from entitlements.tiering.numbers import percent

    loaded = {file: each for file, each in results.items() if not isinstance(each, str)}
    counts = Counter(omission.kind for each in loaded.values() for omission in each.converted.omissions)
    files = Counter(
        kind for each in loaded.values() for kind in {omission.kind for omission in each.converted.omissions}
    )
    whole = sum(not each.converted.omissions for each in loaded.values())
    asked = sum(each.comparison.asked for each in loaded.values())
    return {
        "files": len(results),
        "loaded": len(loaded),
        "whole": whole,
        "share": in_json(percent(whole, len(results))),
        "asked": asked,
        "same": asked - sum(len(each.comparison.differences) for each in loaded.values()),
        "omissions": [{"kind": kind.value, "files": files[kind], "count": counts[kind]} for kind in sorted(counts, key=lambda kind: (-files[kind], -counts[kind]))],
        "lists": [_report(file, each) for file, each in results.items()],
    }  # fmt: skip


def _report(file: Path, found: Imported | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"file": str(file), "error": found}
    return {
        "file": str(file),
        "asked": found.comparison.asked,
        "differences": list(found.comparison.differences),
        "omissions": [
            {"kind": omission.kind.value, "path": omission.path, "text": omission.text}
            for omission in found.converted.omissions
        ],
        "notes": list(found.notes),
    }
