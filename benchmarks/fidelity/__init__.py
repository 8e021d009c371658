"""``make bench-fidelity``: how well students decide as their teachers do, beside other ways to that."""
