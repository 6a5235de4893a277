"""
The fault lab: every fault on every operation, on real servers, and a judge.

`faults` and `operations` are the table, `cells` runs one cell, `judge` compares what callers were told with what
the raw record counts, and `report` writes the table down. `records` alone knows the layout of records.
"""
