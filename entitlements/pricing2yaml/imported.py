"""A price list with the policy that was made from it, loaded from its text and compared with the price list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from entitlements.errors import PolicyError
from entitlements.model.problem import Severity
from entitlements.policy import Policy
from entitlements.pricing2yaml.answers import Comparison, compare_answers
from entitlements.pricing2yaml.conversion import Converted, convert
from entitlements.pricing2yaml.document import InvalidPriceList, PriceList, read_price_list
from entitlements.pricing2yaml.writer import to_yaml


@dataclass(frozen=True, slots=True)
class Imported:
    """
    A price list as a policy.

    Args:
        prices: The price list.
        converted: The policy as a mapping, with its omissions.
        text: The policy as YAML.
        policy: The policy, loaded from that text.
        comparison: Its answers, compared with the price list.
    """

    prices: PriceList
    converted: Converted
    text: str
    policy: Policy
    comparison: Comparison

    @property
    def notes(self) -> tuple[str, ...]:
        """Additions of the policy to the price list, and changed names; one sentence each."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        names = {**{name: plain for (_, name), plain in self.converted.names.items()}, **self.converted.tiers}
        for name, plain in {**names, **self.converted.add_ons}.items():
            if name != plain:
                yield f"{name!r} is called {plain!r}"
        less = [each for each in self.policy.warnings if each.path.startswith("tiers.")]
        if less:
            yield (
                f"ranks follow the order of the plans, and {less[0].problem}"
                f"{f', and {len(less) - 1} more' if len(less) > 1 else ''}; give plans side by side a `line` of their own"
            )


def import_price_list(path: str | os.PathLike[str]) -> Imported:
    """
    Return the policy of the price list in a file.

    Raises:
        InvalidPriceList: For a file that is no price list, or whose policy cannot be loaded.
    """
    prices = read_price_list(path)
    converted = convert(prices)
    heading = f"{prices.name}, from {Path(path).name} in the Pricing2Yaml format."
    text = to_yaml(converted.mapping, heading)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            policy = Policy.load(file)
        except PolicyError as error:
            first = next(each for each in error.problems if each.severity is Severity.ERROR)
            raise InvalidPriceList(f"{prices.file}: {first.path}: {first.problem}; {first.cure}") from None
    return Imported(prices, converted, text, policy, compare_answers(prices, converted, policy))
