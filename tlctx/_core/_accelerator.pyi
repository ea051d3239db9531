# The C accelerator has the interface of the pure-Python implementation.

from tlctx._core._py.attached import attach as attach
from tlctx._core._py.attached import detach as detach
from tlctx._core._py.attached import namespace_of as namespace_of
from tlctx._core._py.body import ScopedIterator as ScopedIterator
from tlctx._core._py.bound import bound as bound
from tlctx._core._py.copy import CopyBase as CopyBase
from tlctx._core._py.detached import DetachedCall as DetachedCall
from tlctx._core._py.local import local as local
from tlctx._core._py.local import peek_dict as peek_dict
from tlctx._core._py.local import swap_dict as swap_dict
from tlctx._core._py.scope import ScopeBase as ScopeBase
from tlctx._core.attached import attached_namespace as attached_namespace
from tlctx._core.namespace import nearest_open as nearest_open
