"""What Flower must know of the broker: how Celery's lists and bindings in Valkey are written.

As in queue_worker/celery_app.py. Without it workers do not understand where Flower waits for their answers,
and its pages of workers stay empty.
"""

broker_transport_options = {"sep": ":", "priority_steps": list(range(10))}
