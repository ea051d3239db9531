"""How the C accelerator is built: wherever there is a C compiler; tlctx is complete without it.

Two variables decide otherwise. `TLCTX_PURE_PYTHON=1` builds without it. `TLCTX_REQUIRE_C=1` makes a build fail that
can't have it. This module runs inside the build alone (pyproject.toml names it); tlctx never imports it.
"""

import os
import sys
import sysconfig
from pathlib import Path

from setuptools.command.build_ext import build_ext
from setuptools.errors import SetupError

__all__ = ["BuildAccelerator"]


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def _why_not() -> str | None:
    """Why the C accelerator is not to be built here, or None if it is."""
    if _is_set("TLCTX_PURE_PYTHON"):
        return "TLCTX_PURE_PYTHON is set"
    if sys.implementation.name != "cpython":
        return f"it is made for CPython, and this is {sys.implementation.name}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it relies on the GIL, and this is a free-threaded build"
    return None


class BuildAccelerator(build_ext):
    """`build_ext` for an extension that may be missing, unless it is required."""

    def finalize_options(self) -> None:
        """Drop the extension where it is not to be built, and what an earlier build may have left of it."""
        super().finalize_options()
        reason, required = _why_not(), _is_set("TLCTX_REQUIRE_C")
        if reason and required:
            raise SetupError(f"TLCTX_REQUIRE_C asks for the C accelerator, but {reason}")
        for extension in self.extensions:
            extension.optional = not required
            if sys.platform == "linux":
                extension.extra_compile_args.append("-fno-plt")  # a read makes three calls into the interpreter
            file = self.get_ext_filename(extension.name)  # type: ignore[no-untyped-call]
            Path(self.build_lib, file).unlink(missing_ok=True)
            if self.inplace or self.editable_mode:
                Path(file).unlink(missing_ok=True)
        self.force = True  # the compiler's version and its options may have changed
        if reason:
            self.announce(f"tlctx: no C accelerator: {reason}", level=2)
            self.extensions = []
