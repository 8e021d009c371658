"""The processes of a service: started, watched, restarted, and never left behind."""
