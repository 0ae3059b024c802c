"""Rows as the network reads them, whole or by number, gathered into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import issparse, vstack

from skdnn.core.activations import Array
from skdnn.core.memory import Pass

# A[0] of all rows is kept where it takes so few bytes, and else written out batch by batch, which
# of 64 rows of 20 columns took 34 us of a step's 240, and to gather them 6.
WRITTEN = 1 << 23

# How much of a target is not its own class's, and the share of every class in that.
Smoothing = tuple[float, Array]


def aligned(array: Any) -> Any:
    """Return an array that begins where its type may.

    One that came through a socket may not: NumPy then leaves BLAS aside, and rounds otherwise.
    """
    return np.require(array, requirements="A") if isinstance(array, np.ndarray) else array


def as_it_is(X: Any) -> Any:
    """Return X."""
    return X


@dataclass(eq=False, repr=False)
class Rows:
    """Training rows as the network reads them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n[0])
        Inputs; None for the part of X1 that they are.
    Y : ndarray of shape (n, m), or int ndarray of shape (n,)
        Targets; integers are labels and stand for rows of `table`.
    w : ndarray of shape (n,) or (n, m), or None
        Sample weights, or one for each output too.
    table : ndarray of shape (m, m), optional
        Row y is the target of label y: one-hot, or smoothed.
    X1 : ndarray of shape (n, 1 + n[0]), optional
        [1 X], the input with the ones that the core needs, if X is a view of it.
    origin : ndarray of shape (n[0],), optional
        What is to be added to every row of a sparse X.
    w_unit : float
        What a weight of 1 in `w` is in the user's weights.
    prepare : callable, optional
        What rows of X, if there is no X1, have to go through before the network reads them.
    expansion : callable, optional
        Writes A[0], as rows, of rows that have gone through that.
    smoothing : tuple, optional
        How the targets that are trained on are smoothed.
    """

    X: Any
    Y: Any
    w: Array | None
    table: Array | None = None
    X1: Array | None = None
    origin: Array | None = None
    w_unit: float = 1.0
    prepare: Callable[[Any], Any] = as_it_is
    expansion: Any = None
    smoothing: Smoothing | None = None

    def __post_init__(self) -> None:
        if self.X is None and self.X1 is not None:
            self.X = self.X1[:, 1:]
        self.weight: float = total_weight(self.w, len(self.Y))
        # Where `gather` puts what it cannot put into X1 and Y at once.
        self._inputs, self._labels = self.X, self.Y
        self._aims: Array | None = None  # of rows that are gathered: the smoothed Y
        self._columns: dict[tuple[int, int], tuple[Array, Array, Array, Array | None]] = {}

    def __len__(self) -> int:
        return len(self.Y)

    def __reduce__(self) -> tuple[Any, ...]:
        # X is a view of X1, which a pickle would make a copy of.
        X = self.X if self.X1 is None else None
        about = self.table, self.X1, self.origin, self.w_unit, self.prepare, self.expansion
        return _restored, (X, self.Y, self.w, *about, self.smoothing)

    @property
    def dtype(self) -> Any:
        """The type that the network reads: that of the targets."""
        return (self.Y if self.table is None else self.table).dtype

    def load(self, at: Pass, rows: slice) -> tuple[Array, Array, Array | None]:
        """Make the samples `rows` A[0] of a pass; return their Y, what is aimed at, and w."""
        where = rows.start, rows.stop
        if where in self._columns:
            at.A1[0], Y, aims, w = self._columns[where]
            return Y, aims, w
        Y, w = self.targets(rows), None if self.w is None else self.w[rows].T
        aims = Y
        if self.smoothing is not None:
            aims = self._mixed(Y) if self._aims is None else self._aims[rows].T
        if self.X1 is None:
            at.read(self.prepare(self.X[rows]), self.origin, self.expansion)
            return Y, aims, w
        if self.expansion is not None:
            at.read(self.X[rows], None, self.expansion)
            return Y, aims, w
        at.A1[0] = self.X1[rows].T
        if self.table is None:  # to make these views anew costs 1 us
            self._columns[where] = at.A1[0], Y, aims, w
        return Y, aims, w

    def inputs(self, width: int) -> Array:
        """Return rows of A[0], which has that width, as a dense array."""
        if issparse(self.X):
            return self.X.toarray() + (0.0 if self.origin is None else self.origin)
        return self.X if self.expansion is None else self.expansion.written_out(self.X, width)

    def written_out(self, width: int) -> Rows:
        """Return the same rows as A[0], which has that width, if that is small."""
        n, dtype = len(self), self.dtype
        is_written = self.expansion is None or issparse(self.X)
        if is_written or n * (1 + width) * dtype.itemsize > WRITTEN:
            return self
        X1 = np.empty((n, 1 + width), dtype)
        X1[:, 0] = 1.0
        self.expansion(self.X, X1[:, 1:])
        return Rows(None, self.Y, self.w, self.table, X1, self.origin, self.w_unit)

    def targets(self, rows: Any = slice(None)) -> Array:
        """Return Y of the given rows, samples in columns."""
        Y = self.Y[rows]
        return (Y if self.table is None else np.take(self.table, Y, axis=0)).T

    def smoothed(self, smoothing: Smoothing | None) -> Rows:
        """Return the same rows, to be trained on with smoothed targets."""
        return self if smoothing is None else replace(self, smoothing=smoothing)

    def _mixed(self, Y: Array) -> Array:
        """Return smoothed targets, (1 - s) Y + s times the classes' shares, samples in columns."""
        assert self.smoothing is not None
        s, shares = self.smoothing
        return (1.0 - s) * Y + (s * shares).astype(Y.dtype)[:, None]

    def part(self, rows: slice) -> Rows:
        """Return the given rows, as views."""
        part = self.only(rows)
        part._inputs, part._labels = self._inputs[rows], self._labels[rows]
        part._aims = None if self._aims is None else self._aims[rows]
        return part

    def only(self, numbers: Any) -> Rows:
        """Return a copy of the rows of the given numbers."""
        w = None if self.w is None else self.w[numbers]
        X1 = None if self.X1 is None else self.X1[numbers]
        X = self.X[numbers] if X1 is None else None
        return replace(self, X=X, Y=self.Y[numbers], w=w, X1=X1)

    def beside(self, other: Rows) -> Rows:
        """Return a copy of these rows and others of the same kind, in these rows' weights."""
        w = None
        if self.w is not None or other.w is not None:
            w = np.concatenate([_in_units(of, self.w_unit) for of in (self, other)])
        Y = np.concatenate([self.Y, other.Y])
        X1 = None if self.X1 is None or other.X1 is None else stacked([self.X1, other.X1])
        X = stacked([self.X, other.X]) if X1 is None else None
        return replace(self, X=X, Y=Y, w=w, X1=X1)

    def gather(self, numbers: Any, room: Any) -> Rows:
        """Return the rows of the given numbers, in memory made by `room`."""
        if room is None:
            return self.only(numbers)
        # mode="clip" writes straight to `out`; the default goes through a buffer.
        if self.X1 is not None:
            np.take(self.X1, numbers, axis=0, out=room.X1, mode="clip")
        else:
            np.take(self.X, numbers, axis=0, out=room._inputs, mode="clip")
            np.copyto(room.X, self.prepare(room._inputs))
        np.take(self.Y, numbers, axis=0, out=room._labels, mode="clip")
        if self.table is not None:
            np.take(self.table, room._labels, axis=0, out=room.Y, mode="clip")
        if self.w is not None:
            np.take(self.w, numbers, axis=0, out=room.w, mode="clip")
        if room._aims is not None:  # of several batches at once
            room._aims[:] = self._mixed(room.Y.T).T
        return room

    def room(self, n: int) -> Rows | None:
        """Return memory to gather n rows in, with their ones; a sparse X has none."""
        if issparse(self.X):
            return None
        # To gather from a copy [1 X], made for that, took 0.97 of the time for 20-32-3 and for
        # 107-100-1 in float32, the same for wider networks, and 1.04 for 784 columns.
        width = self.X.shape[1] if self.X1 is not None else self.prepare(self.X[:1]).shape[1]
        X1 = np.empty((n, 1 + width), self.dtype)
        X1[:, 0] = 1.0
        labels = np.empty_like(self.Y[:n], shape=(n, *self.Y.shape[1:]))
        Y = labels if self.table is None else np.empty((n, len(self.table)), self.table.dtype)
        w = None if self.w is None else np.zeros((n, *self.w.shape[1:]), self.w.dtype)
        room = Rows(X1[:, 1:], Y, w, X1=X1, expansion=self.expansion, smoothing=self.smoothing)
        room._labels, room._aims = labels, None if self.smoothing is None else np.empty_like(Y)
        if self.X1 is None:
            room._inputs = np.empty((n, self.X.shape[1]), self.X.dtype)
        return room


@dataclass(eq=False, repr=False)
class Batches:
    """Rows, all or those of some numbers, taken in any order into memory used again.

    Parameters
    ----------
    rows : Rows
        The data, which are not copied.
    numbers : int ndarray of shape (n,), optional
        Which of them; all by default.
    """

    rows: Rows
    numbers: Any = None

    def __post_init__(self) -> None:
        rows, numbers = self.rows, self.numbers
        w = rows.w if rows.w is None or numbers is None else rows.w[numbers]
        self.n: int = len(rows) if numbers is None else len(numbers)
        self.weight: float = total_weight(w, self.n)
        self._rooms: dict[tuple[int, int], Any] = {}  # by lane and number of rows

    def __len__(self) -> int:
        return self.n

    def take(self, order: Any) -> Rows:
        """Return the given ones, gathered into memory that the next call uses again."""
        numbers = order if self.numbers is None else self.numbers[order]
        return self.rows.gather(numbers, self._room(len(order), 0))

    def part(self, rows: slice, lane: int = 0) -> Rows:
        """Return the given ones in their own order: views, or gathered as by `take`.

        What another lane has gathered stays as it is.
        """
        if self.numbers is None:
            return self.rows.part(rows)
        numbers = self.numbers[rows]
        return self.rows.gather(numbers, self._room(len(numbers), lane))

    def load(self, at: Pass, rows: slice) -> tuple[Array, Array, Array | None]:
        """Make the given ones A[0] of a pass; return their Y, what is aimed at, and w."""
        return self.part(rows, at.lane).load(at, slice(0, at.N))

    def targets(self, rows: slice) -> tuple[Array, Array | None]:
        """Return Y and w of the given ones, without reading X."""
        chosen = rows if self.numbers is None else self.numbers[rows]
        w = self.rows.w
        return self.rows.targets(chosen), None if w is None else w[chosen].T

    @property
    def n_counted(self) -> int:
        """How many have a weight > 0."""
        if self.rows.w is None:
            return self.n
        w = self.rows.w if self.numbers is None else self.rows.w[self.numbers]
        return int(np.count_nonzero(w if w.ndim == 1 else w.any(axis=1)))

    def _room(self, n: int, lane: int) -> Any:
        """Return memory for n rows; fewer have a part of it."""
        if (lane, n) not in self._rooms:
            largest = max((size for of, size in list(self._rooms) if of == lane), default=0)
            fits = n < largest and self._rooms[lane, largest] is not None
            room = self._rooms[lane, largest].part(slice(0, n)) if fits else self.rows.room(n)
            self._rooms[lane, n] = room
        return self._rooms[lane, n]


def stacked(parts: Sequence[Any]) -> Any:
    """Return the rows of dense or of sparse matrices as one matrix; a single one is itself."""
    if len(parts) == 1:
        return parts[0]
    return vstack(parts, "csr") if issparse(parts[0]) else np.concatenate(parts)


def pooled(n: int, parts: Iterable[Rows]) -> Rows:
    """Return the n dense rows of several lots that are weighed alike as one, copied."""
    arrays: dict[str, Array] = {}
    stop, first = 0, None
    for part in parts:
        first = first or part
        given = {"X" if part.X1 is None else "X1": part.X if part.X1 is None else part.X1}
        given |= {"Y": part.Y} if part.w is None else {"Y": part.Y, "w": part.w}
        start, stop = stop, stop + len(part)
        for name, of in given.items():
            if not start:
                arrays[name] = np.empty((n, *of.shape[1:]), of.dtype)
            arrays[name][start:stop] = of
    assert first is not None
    X, X1, Y, w = (arrays.get(name) for name in ("X", "X1", "Y", "w"))
    return replace(first, X=X, Y=Y, w=w, X1=X1)


def add_up(parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the sums of the entries of tuples, from the first to the last."""
    sums = parts[0]
    for part in parts[1:]:
        sums = tuple(a + b for a, b in zip(sums, part, strict=True))
    return sums


def _in_units(rows: Rows, unit: float) -> Array:
    """Return the rows' weights, of which a 1 is `unit` in the user's."""
    if rows.w is not None:
        return rows.w * rows.dtype.type(rows.w_unit / unit)
    return np.full(len(rows), 1.0 / unit, rows.dtype)


def total_weight(w: Array | None, n: int) -> float:
    """Return the weight of n rows; of a row with one for each output it is their mean."""
    if w is None:
        return float(n)
    return float(np.sum(w, dtype=np.float64)) / (1 if w.ndim == 1 else w.shape[1])


def _restored(*given: Any) -> Rows:
    return Rows(*map(aligned, given))
