"""What needs NumPy alone: characters, an artifact's files, and a student without compiled kernels."""
