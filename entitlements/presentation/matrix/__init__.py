"""
The comparison matrix of a policy: its tiers side by side.

Begin with `comparison.py`, which builds the `model`; `value_sections` builds the rows of the values.
"""
