"""
Policies, decisions and usage in words and rows, for the command line and the console. Pure.

Begin with `formatting.py`. `matrix/comparison.py` compares the tiers of a policy, `usage_meters.py` projects usage,
`sentences.py` puts a decision in words, and `accounts.py` the parts of an account.
"""
