"""The laws of moving between tiers, and of the service that each is owed: pure, `now` is an argument."""
