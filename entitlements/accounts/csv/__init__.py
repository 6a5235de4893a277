"""
Accounts in a CSV file.

Begin with `source.py` (`CsvAccounts`). `dialect` finds encoding and separator, `table` reads headings and
rows with their line numbers, `rows` and `cells` make accounts of them, `trials` knows the names of the
policy, and `file` reads the file again when it changes.
"""
