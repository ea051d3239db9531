# The compiled twin has the interface of the Python one, to the letter.

from tlctx._core._binding_py import Binding as Binding
from tlctx._core._binding_py import Gate as Gate
from tlctx._core._binding_py import Steps as Steps
from tlctx._core._binding_py import alive as alive
from tlctx._core._local_py import local as local
from tlctx._core._local_py import peek_dict as peek_dict
from tlctx._core._local_py import swap_dict as swap_dict
