"""The worker: `CELERY_BROKER_URL=redis://... celery --workdir examples -A notebook.worker worker`."""

from notebook.app import create_app

__all__ = ["celery"]

celery = create_app().extensions["notebook.celery"]
