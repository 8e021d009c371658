"""``make bench-students``: kinds of students beside each other, by quality and by cost."""
