"""What keeps one client, one body or a store that hangs from taking the whole server."""
