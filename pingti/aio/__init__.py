"""The client of a service for programs with asyncio."""
