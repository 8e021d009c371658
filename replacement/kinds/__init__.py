"""Students of kinds that the rounds do not train: how each is trained, and which student is kept.

``replacement.training`` imports this package, so what is of it is imported here for types alone.
"""
