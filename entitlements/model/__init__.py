"""Frozen values, validated when built. No I/O, no clock, no third-party imports."""
