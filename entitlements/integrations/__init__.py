"""Integrations with other libraries, one room each, named after the library."""
