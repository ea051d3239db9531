"""A multi-user notebook, to show tlctx in an application of some size.

Read `context` first: it declares what a request has. Then `notes`, which uses it without ever being handed a request,
and `views`, `api` and `stamping`, which do the same.
"""

from notebook.app import create_app

__all__ = ["create_app"]
