"""A job's inputs in object stores."""
