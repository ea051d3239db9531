"""`local`: one object, other variables in every thread. The main thread prints its own, the other an empty dict."""

import threading

from tlctx import local

ctx = local()
ctx.var1 = "Var1"
ctx.var2 = "Var2"


def show() -> None:
    """Print what the thread that calls this has stored."""
    print(vars(ctx))


show()
other = threading.Thread(target=show)
other.start()
other.join()
