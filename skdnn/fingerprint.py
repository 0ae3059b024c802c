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
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from hashlib import blake2b
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from types import CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np
from scipy.sparse import issparse

BLOCK = 1 << 20  # bytes of an array to bring into order at once


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
    """Makes digests of values and of what they hold.

    Attributes
    ----------
    path : dict
        Where, from the outermost value on, those are that are being told, by id.
    known : dict
        The digests of those that have been told, by id.
    kept : list
        These, so that no other value gets the id of one.
    names : set of str
        All that the code of the function that is being told names: of a module of the
        user's own that it reads, these count.
    """

    def __init__(self) -> None:
        self.path: dict[int, int] = {}
        self.known: dict[int, bytes] = {}
        self.kept: list[Any] = []
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
            self.kept.append(value)
            self.path[key] = len(self.path)
            self.known[key] = self._tell(value)
            del self.path[key]
        return self.known[key]

    def _tell(self, value: Any) -> bytes:
        kind = type(value)
        if kind in (np.ndarray, np.memmap) or issparse(value):
            return self._array(value)
        if isinstance(value, ModuleType):
            return self._module(value)
        if (name := _library_name(value)) is not None:
            return _hashed(f"library {name}")
        if kind in (set, frozenset):  # their order is another in every process
            return _hashed(kind.__name__, *sorted(map(self, value)))
        if kind is FunctionType:
            return self._function(value)
        if isinstance(value, type):
            return _hashed("class", *map(self, _of_class(value)))
        parts = PARTS[kind](value) if kind in PARTS else _of_object(value)
        return _hashed(kind.__name__, *map(self, parts))

    def _array(self, value: Any) -> bytes:
        digest = blake2b(f"{value.shape} ".encode(), digest_size=16)
        for part in _canonical(value):
            if part.dtype.hasobject or part.dtype.kind in "SUT":
                digest.update(self._objects(part))
                continue
            part = np.atleast_1d(part)
            digest.update(f"{part.dtype.newbyteorder('=')} ".encode())
            rows = max(1, BLOCK * len(part) // max(part.nbytes, 1))
            for start in range(0, len(part) if part.size else 0, rows):
                block = part[start : start + rows]
                block = np.ascontiguousarray(block, block.dtype.newbyteorder("="))
                digest.update(block.view(np.uint8).data)
        return digest.digest()

    def _objects(self, part: Any) -> bytes:
        """Tell an array of texts, in whatever type, or of objects."""
        values = part.tolist()
        flat = part.ravel().tolist()
        is_plain = all(type(each) in ATOMS for each in flat)
        return _hashed(f"objects {values!r}") if is_plain else self(values)

    def _module(self, module: ModuleType) -> bytes:
        if _is_library(module.__name__):
            return _hashed(f"library {module.__name__}")
        if not self.names:
            raise TypeError(f"it holds the module {module.__name__}")
        return _hashed("module", self._named(vars(module), self.names))

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
        parts = [
            self(function.__code__),
            self(function.__defaults__),
            self(function.__kwdefaults__),
            self(vars(function)),
            *(self(cell) for cell in function.__closure__ or ()),
            self._named(function.__globals__, read),
        ]
        self.names = outer
        return _hashed("function", *parts)

    def _named(self, there: dict[str, Any], names: set[str]) -> bytes:
        return self({name: there[name] for name in sorted(names & there.keys())})


def _hashed(text: str, *parts: bytes) -> bytes:
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16)
    for part in parts:  # each as long as the others
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


def _of_code(code: CodeType) -> Iterable[Any]:
    """Return what a code does, wherever it stands."""
    return [
        *(code.co_code, code.co_exceptiontable, code.co_consts, code.co_names),
        *(code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags),
        *(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
    ]


def _of_cell(cell: CellType) -> Iterable[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not yet assigned
        return []


def _of_class(cls: type) -> Iterable[Any]:
    members = {name: vars(cls)[name] for name in sorted(vars(cls).keys() - SAYS_NOTHING)}
    return [cls.__qualname__, type(cls), cls.__bases__, members]


def _of_object(value: Any) -> Iterable[Any]:
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
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str):
        return None
    # Not every ufunc says where it is from.
    module = getattr(value, "__module__", None)
    modules = ["numpy", "scipy.special"] if isinstance(value, np.ufunc) else [module]
    for module in modules:
        if not isinstance(module, str) or not _is_library(module):
            continue
        try:
            found = attrgetter(name)(sys.modules.get(module))
        except AttributeError:
            continue
        if found is value:
            return f"{module}.{name}"
    return None


def _is_library(module: str) -> bool:
    """Whether a module is of the standard library, of an installed package or of this one."""
    top = module.partition(".")[0]
    if top == __package__:
        return True
    try:
        there = sys.modules[module] if module in sys.modules else find_spec(top)
    except (ImportError, ValueError):
        return False
    file = getattr(there, "__file__", None) or getattr(there, "origin", None)
    if file in (None, "built-in", "frozen"):
        return top in sys.stdlib_module_names
    path = Path(file)
    return any(path.is_relative_to(folder) for folder in STANDARD) or not PACKAGES.isdisjoint(
        path.parts
    )


READS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
STANDARD = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
PACKAGES = {"site-packages", "dist-packages"}
ATOMS = {type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes}
# Where a class stands, what is said of it, and what Python derives.
SAYS_NOTHING = {
    *("__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "_abc_impl"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    *("__static_attributes__", "__dataclass_params__"),
}
# Of the types that pickle does not take, or takes with more than they are.
PARTS: dict[type, Callable[[Any], Iterable[Any]]] = {
    list: list,
    tuple: list,
    dict: lambda value: [part for pair in value.items() for part in pair],
    MappingProxyType: lambda value: [dict(value)],
    CodeType: _of_code,
    CellType: _of_cell,
    property: lambda value: [value.fget, value.fset, value.fdel],
    cached_property: lambda value: [value.func],
    staticmethod: lambda value: [value.__func__],
    classmethod: lambda value: [value.__func__],
}
