"""The live view in a terminal: it asks a running server for its requests, and draws them.

In reading order: `client` asks, `tokens` finds the token, `texts` makes names harmless, `picture` draws, `screen`
repeats it until `keys` has a q.
"""
