"""
`entitlements portfolio`: the base of accounts as one page for people.

Begin with `command.py`. `findings.py` gathers what the library computes, `page.py` and `sections.py`
write it as HTML, `svg.py` draws the charts.
"""
