"""
`entitlements crm`: the round trip with a CRM.

Begin with `commands.py`; `assign` and `formula` are its commands, `options` what they share.
"""
