"""What goes wrong, as Python sees it: one exception with every message and its code."""

import functools
import json
from collections.abc import Callable
from typing import Any, TypeVar

from wherry import _wherry

F = TypeVar("F", bound=Callable[..., Any])


class WherryError(Exception):
    """A model that cannot be read or converted. `diagnostics` lists every message: code, message, at, in, next, place."""

    def __init__(self, text: str, diagnostics: list[dict[str, Any]] | None = None) -> None:
        super().__init__(text)
        self.diagnostics = diagnostics or []


class Mismatch(WherryError):
    """The result was run and does not match its source; nothing was written."""


def translated(function: F) -> F:
    """Turns the native half's errors into WherryError."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except _wherry.NativeError as error:
            text, diagnostics = error.args
            raise WherryError(text, json.loads(diagnostics)) from None

    return call  # type: ignore[return-value]
