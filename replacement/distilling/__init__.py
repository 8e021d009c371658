"""Distillation of a teacher into a smaller transformer."""
