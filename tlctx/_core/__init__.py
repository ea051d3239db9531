"""The request story, and nothing else.

This room imports the standard library and itself only, in one direction: errors, lifetime, namespace, local (its twins
first), carry, teardown, scope, cleanups, fields, context. It knows no framework and no WSGI: it knows threads, and the
life of one request. What it offers the world goes through the door, `tlctx/__init__.py`.
"""
