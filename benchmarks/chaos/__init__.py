"""Faults that fall on a running service by seeded schedules: ``make chaos``."""
