"""Retrainings, run one by one, and how far students drift from their teachers in between."""
