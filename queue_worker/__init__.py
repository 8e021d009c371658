"""The service: jobs in Valkey, Celery workers, the scheduler, and the processes that they run in."""
