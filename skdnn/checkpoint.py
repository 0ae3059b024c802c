"""A callback that saves a fit as it goes, so that it can go on after a crash.

A checkpoint is an uncompressed NumPy archive (``.npz``, read without pickle): one JSON
text and the arrays of :class:`~skdnn._training.State`. The text says which fit it is of:
its parameters and digests of its data.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skdnn._base import BaseDNN
from skdnn._callbacks import Run
from skdnn._training import Curves, State

FORMAT = "skdnn checkpoint 1"
SCALARS = [field.name for field in fields(State) if field.type in ("int", "float", "str", "bool")]
CURVES = [field.name for field in fields(Curves)]
# What may change between the runs of a script without making it another fit.
IRRELEVANT = {"verbose"}


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
        """Find out, when a fit begins, whether there is something to go on from."""
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
        path, run = Path(self.path), estimator._run
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(f"There is no directory to write the checkpoint {path} to.")
        run.notes[self] = note = _Note(_identity(estimator, run))
        if path.exists():
            self._resume(estimator, run, note)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing: what there was to save is saved."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Save what the epochs so far have led to.

        An epoch's end would be too early: another callback may yet ask to stop there.
        """
        run, note = estimator._run, estimator._run.notes[self]
        where = [state.epoch for state in run.stages]
        if any(where) and where[-1] % self.every == 0 and where != note.saved:
            self._save(run, note, complete=False)
            note.saved = where

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Save the result of a fit that is complete."""
        run, note = estimator._run, estimator._run.notes[self]
        is_whole = context is estimator._callback_fit_ctx
        # An interrupt may have come within an epoch, which is then to be done anew.
        if is_whole and not note.complete and not any(s.interrupted for s in run.stages):
            self._save(run, note, complete=True)

    def _save(self, run: Run, note: _Note, complete: bool) -> None:
        stages = [{name: getattr(state, name) for name in SCALARS} for state in run.stages]
        meta = {"format": FORMAT, **note.identity, "complete": complete, "stages": stages}
        arrays = {
            f"{i}/{name}": array
            for i, state in enumerate(run.stages)
            for name, array in _arrays(state)
        }
        temporary = self.path + ".tmp"
        with open(temporary, "wb") as file:
            np.savez(file, meta=np.array(json.dumps(meta)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)

    def _resume(self, estimator: Any, run: Run, note: _Note) -> None:
        """Have the run start from the file."""
        meta, arrays = self._read()
        for what, now in note.identity.items():
            if meta[what] != now:
                difference = _difference(what, meta[what], now)
                raise self._refusal(f"belongs to another fit: {difference}")
        for i, scalars in enumerate(meta["stages"]):
            mine = {name[2:]: a for name, a in arrays.items() if name.startswith(f"{i}/")}
            run.saved.append(partial(_restore, scalars, mine))
            run.epochs_saved += scalars["epoch"]
        note.saved = [scalars["epoch"] for scalars in meta["stages"]]
        note.complete = meta["complete"]
        if not run.goes_on:  # what the seed decides, with random_state=None too
            estimator._seed = meta["stages"][0]["seed"]
            estimator._initialize(estimator._network.parameters)

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the text and the arrays of the file."""
        content = Path(self.path).read_bytes()
        if not content.startswith(b"PK"):
            raise self._refusal("is not a checkpoint of skdnn")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            meta = json.loads(str(arrays.pop("meta", "{}")))
        except Exception as error:  # zipfile, NumPy and json raise ten kinds of them
            raise self._refusal(f"is damaged ({type(error).__name__}: {error})") from error
        if not isinstance(meta, dict) or "format" not in meta:
            raise self._refusal("is not a checkpoint of skdnn")
        if meta["format"] != FORMAT:
            raise self._refusal(f"has the format {meta['format']!r}; this version has {FORMAT!r}")
        return meta, arrays

    def _refusal(self, reason: str) -> ValueError:
        return ValueError(
            f"The checkpoint {self.path} {reason}. Delete the file to train anew, or choose"
            " another path."
        )


@dataclass
class _Note:
    """What a checkpoint keeps about the fit under way."""

    identity: dict[str, Any]
    saved: list[int] | None = None  # the epochs of the stages when last saved
    complete: bool = False  # found so


def _arrays(state: State) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a state by name."""
    assert state.optimizer is not None  # lbfgs is refused
    yield "theta", state.parameters.theta
    yield "optimizer", state.optimizer.state
    yield "t", np.array(state.optimizer.t)
    for name in ("average", "best_theta"):
        if getattr(state, name) is not None:
            yield name, getattr(state, name)
    for name, curve in asdict(state.curves).items():
        yield f"curves/{name}", np.array(curve, dtype=np.float64)


def _restore(scalars: dict[str, Any], arrays: dict[str, Any], state: State) -> State:
    """Return the state as it was saved, on the memory of the one given."""
    assert state.optimizer is not None
    for name in SCALARS:
        setattr(state, name, scalars[name])
    state.parameters.theta[...] = arrays["theta"]
    state.optimizer.state[...] = arrays["optimizer"]
    state.optimizer.t = int(arrays["t"])
    state.average = arrays.get("average")
    state.best_theta = arrays.get("best_theta")
    state.curves = Curves(**{name: arrays[f"curves/{name}"].tolist() for name in CURVES})
    return state


def _identity(estimator: Any, run: Run) -> dict[str, Any]:
    """Return what makes a fit this one and no other, as JSON has it."""
    parameters = {
        name: _text(value)
        for name, value in sorted(estimator.get_params(deep=False).items())
        if name not in IRRELEVANT
    }
    if isinstance(estimator.random_state, np.random.RandomState):  # where it stands
        parameters["random_state"] = f"seed {estimator._seed}"
    X, y, w, held_out = run.data
    held_out = (None, None, None) if held_out is None else held_out
    names = ("X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val")
    data = {n: _digest(a) for n, a in zip(names, (X, y, w, *held_out), strict=True)}
    if run.goes_on:  # a warm start begins where the last fit ended
        data["earlier fit"] = _digest(estimator._network.parameters.theta)
        state = vars(estimator).get("_state")
        if state is not None and state.optimizer is not None:
            data["its optimiser"] = _digest(state.optimizer.state)
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
