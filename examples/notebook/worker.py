"""The worker: `CELERY_BROKER_URL=redis://... celery --workdir examples -A notebook.worker worker`."""

from notebook.app import create_app

__all__ = ["celery"]

celery = create_app().extensions.get("notebook.celery")
if celery is None:
    raise SystemExit("Set CELERY_BROKER_URL, for the worker and for the web server.")
