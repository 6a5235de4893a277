"""The laws of moving between tiers, pure: assignment, transitions, previews, trials, reviews."""
