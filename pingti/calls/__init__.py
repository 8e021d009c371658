"""What ``pingti.Client`` is made of."""
