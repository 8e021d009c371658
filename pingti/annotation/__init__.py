"""People's labels: boundary rows out to a labelling tool, labels back from it, and labelled files read."""

from pingti.annotation.labelled_texts import Labelled, Look, look_at_labelled, read_labelled
from pingti.annotation.labels import Imported, Label
from pingti.annotation.review_queue import Format

__all__ = ["Format", "Imported", "Label", "Labelled", "Look", "look_at_labelled", "read_labelled"]
