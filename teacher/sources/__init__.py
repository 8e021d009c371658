"""Teachers that are no model here: answers on file, functions, and what they have in common."""
