"""Generated source code as a live module: executed under a name that tracebacks can show."""

import importlib
import linecache
from types import ModuleType
from typing import Any

from wherry._errors import WherryError


def needed(framework: str, package: str, what: str) -> Any:
    """The framework, or an error that names the command which installs it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise WherryError(f"{what} needs {package}: pip install 'wherry[{framework}]'") from None


def executed(code: str, name: str) -> ModuleType:
    """The code's names. Its rows are kept for tracebacks and for whoever asks where a layer was written."""
    file = f"<wherry {name}>"
    module = ModuleType(name)
    module.__file__ = file
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), module.__dict__)
    return module
