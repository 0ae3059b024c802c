"""What tells a value from others: a digest that is the same in every process and machine.

Numbers, texts, containers and arrays are told apart by their values; functions by what they do:
their code with the names and constants in it, defaults, closure, and what they read of their
module; objects by their class and their state, as pickle takes it. What the standard library or
an installed package has by a name is known by that name. All else is refused.
"""

from __future__ import annotations

import copyreg
import dis
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from types import CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np
from scipy.sparse import issparse


def fingerprint(value: Any) -> str:
    """Return the digest of a value.

    That of an array depends on shape, type and values, and not on how these lie in memory: in
    which order, in a file, or as a sparse matrix with which indices in which order.

    Raises
    ------
    TypeError
        If the value holds what cannot be told from others, such as a generator or a lock.
    """
    try:
        return _Teller()(value).hex()
    except RecursionError as error:
        raise TypeError("it is nested too deeply, or too long a chain of objects") from error


class _Teller:
    """Makes digests of values and of what they hold."""

    def __init__(self) -> None:
        # Where, from the outermost value on, those are that are being told, by id.
        self.path: dict[int, int] = {}
        # Those that have been told, by id, with their digests: no other gets the id of one.
        self.known: dict[int, tuple[Any, bytes]] = {}
        # What the code of the function that is being told names: of a module of the user's own
        # that it reads, these count.
        self.names: set[str] = set()

    def __call__(self, value: Any) -> bytes:
        if isinstance(value, np.bool_ | np.number) and not isinstance(value.item(), np.generic):
            value = value.item()
        if type(value) in ATOMS:
            return _hashed(f"{type(value).__name__} {value!r}")
        key = id(value)
        if key in self.path:
            return _hashed(f"{len(self.path) - self.path[key]} levels above")
        if key not in self.known:
            self.path[key] = len(self.path)
            self.known[key] = value, self._tell(value)
            del self.path[key]
        return self.known[key][1]

    def _tell(self, value: Any) -> bytes:
        kind = type(value)
        if kind in (np.ndarray, np.memmap) or issparse(value):
            return self._array(value)
        if (name := _library_name(value)) is not None:
            return _hashed(f"library {name}")
        if kind in (set, frozenset):  # their order is another in every process
            return _hashed(kind.__name__, *sorted(map(self, value)))
        if isinstance(value, ModuleType):
            if not self.names:
                raise TypeError(f"it holds the module {value.__name__}")
            return _hashed("module", self._named(vars(value), self.names))
        if kind is FunctionType:
            return self._function(value)
        return _hashed(
            "class" if isinstance(value, type) else kind.__name__, *map(self, _of(value))
        )

    def _array(self, value: Any) -> bytes:
        parts: list[Any] = []
        for part in _canonical(value):
            if part.dtype.hasobject or part.dtype.kind in "SUT":  # whatever the type of texts
                values, flat = part.tolist(), part.ravel().tolist()
                is_plain = all(type(each) in ATOMS for each in flat)
                parts.append(_hashed(f"objects {values!r}") if is_plain else self(values))
            else:
                part = np.ascontiguousarray(part, part.dtype.newbyteorder("="))
                parts += [f"{part.dtype} ".encode(), part.reshape(-1).view(np.uint8)]
        return _hashed(f"{value.shape} ", *parts)

    def _function(self, function: FunctionType) -> bytes:
        codes = list(_nested(function.__code__))
        read: set[str] = set()
        for step in (step for code in codes for step in dis.get_instructions(code)):
            if step.opname in READS:
                read.add(step.argval)
            elif step.opname == "IMPORT_NAME" and not _is_library(step.argval):
                raise TypeError(
                    f"{function.__qualname__} imports {step.argval or 'a module'} while it runs:"
                    " import it where the function stands"
                )
        outer, self.names = self.names, {name for code in codes for name in code.co_names}
        held = [function.__code__, function.__defaults__, function.__kwdefaults__, vars(function)]
        parts = [*map(self, [*held, *(function.__closure__ or ())])]
        parts.append(self._named(function.__globals__, read))
        self.names = outer
        return _hashed("function", *parts)

    def _named(self, there: dict[str, Any], names: set[str]) -> bytes:
        return self({name: there[name] for name in sorted(names & there.keys())})


def _hashed(text: str, *parts: Any) -> bytes:
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _canonical(value: Any) -> tuple[Any, ...]:
    """Return the arrays that a matrix consists of, the same for the same values."""
    if not issparse(value):
        return (np.asarray(value),)
    value = value.tocsr()
    if not (value.has_canonical_format and value.data.all()):
        value = value.copy()
        value.sum_duplicates()
        value.eliminate_zeros()
    return (value.data, value.indices.astype(np.int64), value.indptr.astype(np.int64))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _of(value: Any) -> list[Any]:
    """Return what an object consists of, in an order."""
    if type(value) in (list, tuple):
        return list(value)
    if type(value) in (dict, MappingProxyType):
        return [part for pair in value.items() for part in pair]
    if type(value) in SAYS_ALL:
        return [getattr(value, name) for name in SAYS_ALL[type(value)]]
    if isinstance(value, CellType):
        try:
            return [value.cell_contents]
        except ValueError:  # not yet assigned
            return []
    if isinstance(value, type):
        members = {name: vars(value)[name] for name in sorted(vars(value).keys() - SAYS_NOTHING)}
        return [value.__qualname__, type(value), value.__bases__, members]
    return _reduced(value)


def _reduced(value: Any) -> list[Any]:
    """Return what pickle would make an object of."""
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception as error:
        raise TypeError(f"it holds a {type(value).__name__!r}") from error
    if not isinstance(reduced, str):
        make, args, state, items, pairs = (*reduced, None, None, None)[:5]
        return [make, args, state, list(items or ()), list(pairs or ())]
    if hasattr(value, "__wrapped__"):
        return [value.__wrapped__]
    raise TypeError(f"it holds a {type(value).__name__!r}")


def _library_name(value: Any) -> str | None:
    """Return by which name an installed package has a value, if any has it."""
    if isinstance(value, ModuleType):
        return value.__name__ if _is_library(value.__name__) else None
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    # Not every ufunc says where it is from.
    of = getattr(value, "__module__", None)
    for module in ("numpy", "scipy.special") if isinstance(value, np.ufunc) else (of,):
        if isinstance(name, str) and isinstance(module, str) and _is_library(module):
            with suppress(AttributeError):
                if attrgetter(name)(sys.modules.get(module)) is value:
                    return f"{module}.{name}"
    return None


def _is_library(module: str) -> bool:
    """Whether a module is of the standard library, of an installed package or of this one."""
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        origin = file or getattr(find_spec(top), "origin", None) or ""
    except ValueError:  # of a module without one, such as a script
        return False
    return (
        origin in ("built-in", "frozen")
        or any(map(Path(origin).is_relative_to, STANDARD))
        or not PACKAGES.isdisjoint(Path(origin).parts)
        or top == __package__
    )


READS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
STANDARD = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
PACKAGES = {"site-packages", "dist-packages"}
ATOMS: set[type] = {
    type(None),
    type(...),
    type(NotImplemented),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
}
# Where a class stands, what is said of it, and what Python derives.
SAYS_NOTHING = {
    *("__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "_abc_impl"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    *("__static_attributes__", "__dataclass_params__"),
}
# Of the types that pickle does not take: what they do, wherever they stand.
SAYS_ALL: dict[type, tuple[str, ...]] = {
    property: ("fget", "fset", "fdel"),
    cached_property: ("func",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    CodeType: (
        *("co_code", "co_exceptiontable", "co_consts", "co_names"),
        *("co_varnames", "co_freevars", "co_cellvars", "co_flags"),
        *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount"),
    ),
}
