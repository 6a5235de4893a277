"""Formats of the comparison matrix of a policy: text, Markdown, HTML and JSON."""
