"""A callback that saves a fit as it goes, so that it can go on after a crash.

A checkpoint is an uncompressed NumPy archive (``.npz``, read without pickle): one JSON
text and the arrays of :class:`~skdnn.fit.training.State`. The text says which fit it is of:
its parameters and digests of its data.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skdnn.estimators import BaseDNN
from skdnn.fit.watch import Stages
from skdnn.task import Task

FORMAT = "skdnn checkpoint 2"
# What may change between the runs of a script without making it another fit.
IRRELEVANT = {"verbose", "n_jobs"}


class Checkpoint:
    """Save a fit every few epochs; fit again after a crash, and it goes on from there.

    A callback for the three estimators: ``model.set_callbacks(Checkpoint(path))``. When
    the process is killed and the same script run again, `fit` finds the file, and takes up
    training where it was saved. The result is, bit by bit, that of a fit that was never
    interrupted (on the same machine and libraries), also with ``random_state=None``.

    The file stays when the fit is complete, and then holds its result: the same fit again
    ends at once, with that result. To train anew, delete the file. One path is for one
    fit: a file of another fit is refused, never overwritten.

    Parameters
    ----------
    path : str or path-like
        The file, by any name; its directory must exist. While it is written there is a
        second file beside it, of the same name and ``.tmp``.
    every : int, default=10
        The number of epochs from one save to the next, >= 1. What a crash costs is at most
        these. The end of the fit is saved in any case.

    Raises
    ------
    ValueError
        At `fit`: if the file is damaged, is not a checkpoint, or belongs to another fit
        (other parameters, other data), with the path and the reason; with
        ``solver="lbfgs"``, whose state SciPy keeps to itself.
    TypeError
        At `fit`, if set on something else than an estimator of skdnn, such as a pipeline:
        its last step takes the callback.

    Notes
    -----
    A fit is recognised by its class, its parameters (all but `verbose`), the seed and the
    data given to `fit`, each array by its digest (BLAKE2). Functions given as parameters
    are compared by name and code.

    The file is written whole, flushed to the disk and then renamed into its place, so that
    it is never half of one: either the earlier checkpoint is there, or the new one.

    `partial_fit` calls no callbacks, and saves nothing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from skdnn import Checkpoint, DNNClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DNNClassifier(learning_rate="cosine", max_iter=20, random_state=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory) / "iris.checkpoint"
    ...     first = model.set_callbacks(Checkpoint(path, every=5)).fit(X, y).loss_
    ...     model.fit(X, y).loss_ == first  # read from the file
    True
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 10) -> None:
        if not isinstance(every, Integral) or isinstance(every, bool) or every < 1:
            raise ValueError(f"every must be an int >= 1; got {every!r}.")
        self.path: str = os.fspath(path)
        self.every: int = every

    def __repr__(self) -> str:
        return f"Checkpoint({self.path!r}, every={self.every})"

    def setup(self, estimator: Any, context: Any) -> None:
        """Refuse, when a fit begins, an estimator that cannot be saved."""
        if not isinstance(estimator, BaseDNN):
            raise TypeError(
                f"Checkpoint saves skdnn's estimators; it was set on {type(estimator).__name__}."
                " Of a pipeline set it on the last step: pipeline[-1].set_callbacks(...)."
            )
        if estimator.solver == "lbfgs":
            raise ValueError(
                "Checkpoint needs solver 'gd', 'sgd' or 'adam'; got 'lbfgs', whose state SciPy"
                " keeps to itself."
            )
        if not Path(self.path).absolute().parent.is_dir():
            raise FileNotFoundError(
                f"There is no directory to write the checkpoint {self.path} to."
            )

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing: what there was to save is saved."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing: the fit says when there is something to save."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Do nothing: another callback may yet ask to stop there."""

    def begin(self, estimator: Any, task: Task, seed: int) -> Saver:
        """Return what saves a fit, and what there is of the same fit to go on from."""
        return Saver(self, _identity(estimator, task, seed), seed)

    def _read(self) -> dict[str, Any]:
        """Return what the file holds, in plain values."""
        content = Path(self.path).read_bytes()
        if not content.startswith(b"PK"):
            raise self._refusal("is not a checkpoint of skdnn")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            kept = _with_arrays(json.loads(str(arrays.pop("meta", "{}"))), arrays)
        except Exception as error:  # zipfile, NumPy and json raise ten kinds of them
            raise self._refusal(f"is damaged ({type(error).__name__}: {error})") from error
        if not isinstance(kept, dict) or "format" not in kept:
            raise self._refusal("is not a checkpoint of skdnn")
        if kept["format"] != FORMAT:
            raise self._refusal(f"has the format {kept['format']!r}; this version has {FORMAT!r}")
        return kept

    def _write(self, kept: dict[str, Any]) -> None:
        """Put plain values into the place of what the file held."""
        arrays: dict[str, Any] = {}
        text = json.dumps(_without_arrays({"format": FORMAT, **kept}, arrays))
        temporary = self.path + ".tmp"
        with open(temporary, "wb") as file:
            np.savez(file, meta=np.array(text), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)

    def _refusal(self, reason: str) -> ValueError:
        return ValueError(
            f"The checkpoint {self.path} {reason}. Delete the file to train anew, or choose"
            " another path."
        )


class Saver:
    """A fit that is saved, and what its file has of it.

    Attributes
    ----------
    every : int
        As for :class:`Checkpoint`.
    seed : int
        That of the fit: the file's, if there is one.
    saved : list of list of dict
        The states of every network's stages, in plain values.
    """

    def __init__(self, checkpoint: Checkpoint, identity: dict[str, Any], seed: int) -> None:
        self.checkpoint, self.identity, self.every = checkpoint, identity, checkpoint.every
        self.seed, self._is_complete = seed, False
        self.saved: list[list[dict[str, Any]]] = []
        if Path(checkpoint.path).exists():
            self._resume()
        self._where = _where(self.saved)

    def _resume(self) -> None:
        kept = self.checkpoint._read()
        for what, now in self.identity.items():
            if kept[what] != now:
                difference = _difference(what, kept[what], now)
                raise self.checkpoint._refusal(f"belongs to another fit: {difference}")
        self.seed, self.saved, self._is_complete = kept["seed"], kept["runs"], kept["complete"]

    def save(self, runs: list[Stages], complete: bool) -> None:
        """Write down where all networks are, unless the file has it already."""
        plain = [[state.plain() for state in run.states] for run in runs]
        where = _where(plain)
        if self._is_complete or not any(map(any, where)) or (where == self._where and not complete):
            return
        self.checkpoint._write(
            {**self.identity, "seed": self.seed, "complete": complete, "runs": plain}
        )
        self._where = where


def _where(runs: list[list[dict[str, Any]]]) -> list[list[int]]:
    """Return the epoch of every stage of every network."""
    return [[state["epoch"] for state in run] for run in runs]


def _without_arrays(value: Any, arrays: dict[str, Any]) -> Any:
    """Return a plain value as JSON has it; its arrays go into a dict, by number."""
    if isinstance(value, dict):
        return {name: _without_arrays(part, arrays) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        arrays[name := f"array {len(arrays)}"] = value
        return {"array": name}
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        return [_without_arrays(part, arrays) for part in value]
    return value


def _with_arrays(value: Any, arrays: dict[str, Any]) -> Any:
    """Return the plain value that `_without_arrays` took apart."""
    if isinstance(value, dict):
        if list(value) == ["array"]:
            return arrays[value["array"]]
        return {name: _with_arrays(part, arrays) for name, part in value.items()}
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        return [_with_arrays(part, arrays) for part in value]
    return value


def _identity(estimator: Any, task: Task, seed: int) -> dict[str, Any]:
    """Return what makes a fit this one and no other, as JSON has it."""
    parameters = {
        name: _text(value)
        for name, value in sorted(estimator.get_params(deep=False).items())
        if name not in IRRELEVANT
    }
    if isinstance(estimator.random_state, np.random.RandomState):  # where it stands
        parameters["random_state"] = f"seed {seed}"
    names, rows = ("X", "y", "sample_weight"), (task.data, task.given)
    data = {
        name + suffix: None if part is None else _digest(getattr(part, attribute))
        for part, suffix in zip(rows, ("", "_val"), strict=True)
        for name, attribute in zip(names, ("X", "y", "sample_weight"), strict=True)
    }
    if task.earlier is not None:  # a warm start begins where the last fit ended
        data["earlier fit"] = _digest(task.earlier.parameters.theta)
        if task.earlier.optimizer is not None:
            data["its optimiser"] = _digest(task.earlier.optimizer.state)
    return {"estimator": type(estimator).__qualname__, "parameters": parameters, "data": data}


def _text(value: Any) -> str:
    """Return a text that is the same in every run, and differs where the value does."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    code = getattr(value, "__code__", None)
    if code is not None:
        parts = (code.co_code, [c for c in code.co_consts if not hasattr(c, "co_code")])
        text += f" {hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()}"
    return text


def _digest(array: Any) -> str | None:
    """Return a digest of an array's type, shape and values."""
    if array is None:
        return None
    parts = (array.data, array.indices, array.indptr) if issparse(array) else (array,)
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{part.dtype} {part.shape} ".encode())
        if part.dtype.kind == "O":
            digest.update(repr(part.tolist()).encode())
        else:
            digest.update(np.ascontiguousarray(part).data.cast("B") if part.size else b"")
    return digest.hexdigest()


def _difference(what: str, then: Any, now: Any) -> str:
    """Say in what two fits differ."""
    if what == "estimator":
        return f"of a {then}, not a {now}"
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if what == "data":
        return f"the data differ ({', '.join(names)})"
    return "; ".join(f"{n} was {then.get(n, 'unset')} and is {now.get(n, 'unset')}" for n in names)
