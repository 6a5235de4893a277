"""
`entitlements transitions`: recommended moves as cases with steps, owners and due times.

Begin with `command.py`; `kept_steps.py` keeps the steps in a CSV file or a database.
"""
