"""
`entitlements crm`: assignment of tiers in a CRM's export.

Begin with `commands.py`; `assign` and `formula` are its commands, `options` their shared
options, `report` the output of `assign`.
"""
