"""The laws: pure functions over values, with `now` as an argument in microseconds."""
