"""The doors of Pingti: REST with the dashboard, and the command line."""
