"""Tier assignment, transitions, previews, trials and reviews, as pure functions."""
