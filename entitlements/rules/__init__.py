"""Resolution, metering and planning: pure functions over values. `now` is an argument, in microseconds."""
