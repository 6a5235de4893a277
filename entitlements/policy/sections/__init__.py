"""
Sections of a policy file, one module each: they turn schema models into model values and check them.

`routes`, `assignment`, `services`, `segmentations`, `readable_values`; `conditions` reads the conditions in them.
"""
