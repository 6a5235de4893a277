"""
Accounts in a CSV file.

Begin with `source.py` (`CsvAccounts`). `dialect` detects encoding and separator, `table` reads headings
and rows with their line numbers, `columns` names the parser of each column, `rows` and `cells` parse rows
into accounts, `policy_view` applies the policy to them, and `file` reads the file again when it changes.
"""
