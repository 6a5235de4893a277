"""
`entitlements account`: what accounts are, and changes of those in a database.

Begin with `commands.py`. `changes.py` has a command per verb, `views.py` shows accounts and their audit, and
`signature.py` adds the options that all changes take, and `context.py` opens the database and reports a change.
"""
