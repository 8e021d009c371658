"""Jobs: accepted, kept in Valkey with all that is known of them, and their ends told by callbacks."""
