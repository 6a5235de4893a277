"""The nouns: frozen values, valid once built. No I/O, no clock, no third party."""
