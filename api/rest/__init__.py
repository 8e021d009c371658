"""The REST API and the pages: one ASGI application over workspace, job store and students."""
