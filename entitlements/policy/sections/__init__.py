"""
Sections of a policy file, one module each: from models to values, with checks.

`routes`, `assignment`, `services`, `segmentations`, `transitions`; `conditions` reads the conditions in them.
"""
