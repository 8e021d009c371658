"""Learning from what a student itself says of the pool."""
