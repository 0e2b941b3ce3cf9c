"""How a worker process consumes streams: one loop for each stream, woken by Celery messages."""
