"""Settings of gunicorn: workers of uvicorn, which share the limits by the store."""

import os

bind = os.environ.get("BIND", "0.0.0.0:8000")
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))  # the enforcer reads the same variable
worker_class = "uvicorn.workers.UvicornWorker"
preload_app = True
graceful_timeout = 20
