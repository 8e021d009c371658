"""Who is asked where a student is not sure: its teacher, in this process or in one of its own."""
