"""Tests over real processes: uvicorn, Celery workers, Valkey, a database."""
