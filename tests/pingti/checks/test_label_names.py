"""Labels taken for classes by their names or places."""

from pingti.checks.label_names import position_note


def test_labels_taken_by_their_order_are_told() -> None:
    unnamed = ("LABEL_0", "LABEL_1")
    note = position_note(unnamed, ("no", "yes"), {})
    assert "LABEL_0 = no, LABEL_1 = yes" in note
    assert "teacher.map" in note
    assert position_note(unnamed, ("no", "yes"), {"LABEL_0": "yes", "LABEL_1": "no"}) == ""
    assert position_note(("yes", "no"), ("no", "yes"), {}) == ""
    assert position_note(unnamed, unnamed, {}) == ""
