"""The pages of the console: each takes a visit and returns a response."""
