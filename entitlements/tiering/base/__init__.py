"""
Reports on a base of accounts as a whole. Pure.

Begin with `rows.py`: `read_base` reads the figures of each account once, and every report takes them.
"""
