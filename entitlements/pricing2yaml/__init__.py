"""
Price lists in the Pricing2Yaml format, 1.x to 3.x, as policies.

Begin with `imported.py` (`import_price_list`). `document` reads a file into values, `units` reads the units of usage limits,
`names` gives every item a name of the policy, `forms` a form, `conversion` makes the policy, `writer` writes the policy, and `answers` compares its answers with the
price list. What a policy cannot say becomes an `Omission`; nothing is guessed.
"""

from __future__ import annotations

from entitlements.pricing2yaml.document import InvalidPriceList, PriceList
from entitlements.pricing2yaml.imported import Imported, import_price_list
from entitlements.pricing2yaml.omissions import Omission, OmissionKind

__all__ = ["Imported", "InvalidPriceList", "Omission", "OmissionKind", "PriceList", "import_price_list"]
