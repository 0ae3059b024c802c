"""A callback that saves a fit as it goes, so that it can go on after a crash.

A checkpoint is an uncompressed NumPy archive (``.npz``, read without pickle): a JSON text, the
arrays of :class:`~skdnn.fit.training.State`, a digest of both, and who wrote it. The text says
which fit it is of: digests of its parameters and data.
"""

from __future__ import annotations

import glob
import io
import json
import os
import re
import secrets
import socket
import zipfile
from collections.abc import Callable
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from skdnn.base import BaseDNN
from skdnn.core.network import Parameters
from skdnn.core.optimizers import OPTIMIZERS
from skdnn.fingerprint import fingerprint
from skdnn.fit.training import OF_SEARCH, Curves, End, State
from skdnn.fit.watch import Stages
from skdnn.task import Task

FORMAT = "skdnn checkpoint 3"
# What may change between the runs of a script without making it another fit.
IRRELEVANT = {"verbose", "n_jobs", "client"}
CURVES = {name: [0 if name == "validated" else 0.0] for name in vars(Curves())}  # of which types
SHOWN = 200  # characters of a parameter's value in a message


class Checkpoint:
    """Save a fit every few epochs; fit again after a crash, and it goes on from there.

    A callback for the three estimators: ``model.set_callbacks(Checkpoint(path))``. When
    the process is killed and the same script run again, `fit` finds the file, and takes up
    training where it was saved. The result is, bit by bit, that of a fit that was never
    interrupted (on the same machine and libraries), also with ``random_state=None``.

    The file stays when the fit is complete, and then holds its result: the same fit again
    ends at once, with that result. To train anew, delete the file. One path is for one
    fit: a file of another fit is refused, never overwritten.

    If the same fit is started while it still runs elsewhere, it goes on from the file, which
    is then its own: the earlier run stops with an error when it is next to save. A run that
    crashed stands in nobody's way.

    Parameters
    ----------
    path : str or path-like
        The file, by any name; its directory must exist. A relative path is one from the
        working directory where the callback is made, whatever that is at `fit`. Where a
        symbolic link leads is what is written; the link stays. While it is written there is
        another file beside it, of its name, 16 random digits and ``.tmp``.
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
        its last step takes the callback; if a parameter holds what cannot be told from
        others, such as a scorer that reads an open file.
    OSError
        At `fit`: if the path is a directory or no regular file (FileNotFoundError if its
        directory is missing), or the file cannot be written, such as on a full disk. What it
        held before is then kept.
    RuntimeError
        In the middle of a fit, when another run has come to own the file.

    Notes
    -----
    A fit is recognised by its class, its parameters (all but `verbose`, `n_jobs` and a
    `client`), the seed and the data given to `fit`, each by its digest (BLAKE2). The digest
    of an array is of its values, not of how these lie in memory. That of a function is of its
    code, with the names and constants in it, of its defaults, its closure and what it reads of its
    module; that of another object of its class and its state. What the standard library or
    an installed package has by a name counts as that name.

    The file is written whole, flushed to the disk and then put into its place, so that it is
    never half of one: either the earlier checkpoint is there, or the new one.

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
        self.path: str = os.path.abspath(os.fsdecode(path))
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
        _check_place(self.path)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing: what there was to save is saved."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing: the fit says when there is something to save."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Do nothing: another callback may yet ask to stop there."""

    def begin(self, estimator: Any, task: Task, seed: int) -> Saver:
        """Return what saves a fit, and what there is of the same fit to go on from."""
        n, n_factors = len(task.network.parameters.theta), len(np.unique(task.inputs.sources))
        identity = _identity(estimator, task, seed)
        return Saver(self.path, self.every, identity, seed, n, n_factors)


class Saver:
    """A fit that is saved, and what its file has of it."""

    def __init__(
        self,
        path: str,
        every: int,
        identity: dict[str, Any],
        seed: int,
        n_parameters: int,
        n_factors: int,
    ) -> None:
        self.file: _File = _File(path)
        self.every: int = every  # as for Checkpoint
        self.identity: dict[str, Any] = identity
        self.seed: int = seed  # of the fit: the file's, if there is one to go on from
        self.saved: list[list[dict[str, Any]]] = []  # the states of every network's stages
        self.is_complete = False
        kept = self.file.read()
        if kept is not None:
            self._resume(kept, n_parameters, n_factors)
        self._where = _where(self.saved)
        if not self.is_complete:  # from here on the file is this fit's
            self._write(self.saved, False)
            self.file.clear_up()

    def _resume(self, kept: dict[str, Any], n_parameters: int, n_factors: int) -> None:
        if not _tells(kept, self.identity):
            raise self.file.refusal("is damaged (it does not say which fit it is of)")
        for what, now in self.identity.items():
            if difference := _difference(what, kept[what], now):
                raise self.file.refusal(f"belongs to another fit: {difference}")
        if not _is_whole(kept, n_parameters, n_factors):
            raise self.file.refusal("is damaged (it does not hold what a fit is made of)")
        if kept["runs"]:
            self.seed, self.saved, self.is_complete = kept["seed"], kept["runs"], kept["complete"]

    def save(self, runs: list[Stages], complete: bool) -> None:
        """Write down where all networks are, unless the file has it already."""
        plain = [[state.plain() for state in run.states] for run in runs]
        where = _where(plain)
        if self.is_complete or not any(map(any, where)) or (where == self._where and not complete):
            return
        self._write(plain, complete)
        self._where = where

    def _write(self, runs: list[list[dict[str, Any]]], complete: bool) -> None:
        self.file.write({**self.identity, "seed": self.seed, "complete": complete, "runs": runs})


class _File:
    """A file that one run owns: a name in it says which, and is looked at before each write."""

    def __init__(self, path: str) -> None:
        self.path: str = os.path.realpath(path)
        me = f"process {os.getpid()} on {socket.gethostname()}, run {secrets.token_hex(8)}"
        self.me, self.owner = me, ""  # "" is nobody, while there is no file

    def read(self) -> dict[str, Any] | None:
        """Return what the file holds, in plain values; None if there is none."""
        try:
            content = Path(self.path).read_bytes()
        except FileNotFoundError:
            return None
        if not content.startswith(b"PK"):
            raise self.refusal("is not a checkpoint of skdnn")

        def parts() -> tuple[Any, ...]:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            digest, owner, text = (str(arrays.pop(n, "")) for n in ("digest", "owner", "meta"))
            kept = json.loads(text or "{}", object_hook=lambda part: _with_array(part, arrays))
            return arrays, digest, owner, text, kept

        try:
            arrays, digest, owner, text, kept = parts()
        except MemoryError:
            np.empty(len(content), np.uint8)  # raises too, unless it is a file that asks for more
            raise self.refusal("is damaged (an array of it would be larger than it)") from None
        except Exception as error:  # zipfile, NumPy and json raise ten kinds of them
            if not _fails(parts):
                raise
            raise self.refusal(f"is damaged ({type(error).__name__}: {error})") from error
        if not isinstance(kept, dict) or "format" not in kept:
            raise self.refusal("is not a checkpoint of skdnn")
        if not isinstance(kept["format"], str) or kept["format"] != FORMAT:
            raise self.refusal(f"has the format {kept['format']!r}; this version has {FORMAT!r}")
        if digest != fingerprint([text, arrays]):
            raise self.refusal("is damaged (it is not what was written)")
        self.owner = owner
        return kept

    def write(self, kept: dict[str, Any]) -> None:
        """Put plain values into the place of what the file held, if it is still this run's."""
        arrays: dict[str, Any] = {}

        def apart(array: Any) -> dict[str, str]:
            if not isinstance(array, np.ndarray):
                raise TypeError(f"a checkpoint holds no {type(array).__name__}")
            arrays[name := f"array {len(arrays)}"] = array
            return {"array": name}

        text = json.dumps({"format": FORMAT, **kept}, default=apart)
        about = {"meta": text, "digest": fingerprint([text, arrays]), "owner": self.me}
        arrays |= {name: np.array(value) for name, value in about.items()}
        try:
            self._put(arrays)
        except OSError as error:
            if error.errno is None:  # not the system's
                raise
            raise OSError(
                error.errno,
                f"The checkpoint could not be written ({error.strerror or error}), and is what"
                " it was before",
                self.path,
            ) from error

    def _put(self, arrays: dict[str, Any], tries: int = 3) -> None:
        """Write an archive beside the file, and then give it the file's name."""
        temporary = f"{self.path}.{secrets.token_hex(8)}.tmp"
        try:
            with open(temporary, "xb") as file:
                _archive(file, arrays)
                file.flush()
                os.fsync(file.fileno())
            there = self._owner_there()
            if there and there != self.owner:
                raise self._lost(there)
            if there:
                os.replace(temporary, self.path)
            else:
                _name(temporary, self.path)
            self.owner = self.me
        except (FileExistsError, FileNotFoundError):
            # Since that look another run has made the file, or cleared up what was to be it.
            if tries == 1:
                raise
            self._put(arrays, tries - 1)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _owner_there(self) -> str:
        """Return who owns the file; "" if there is none."""

        def owner() -> str:
            with np.load(self.path, allow_pickle=False) as archive:
                return str(archive["owner"])

        try:
            return owner()
        except FileNotFoundError:
            return ""
        except OSError:
            raise
        except Exception:  # as in `read`
            if not _fails(owner):
                raise
            return "what is no checkpoint of skdnn"

    def clear_up(self) -> None:
        """Delete what was left beside the file by runs that were killed while they wrote."""
        for path in glob.glob(glob.escape(self.path) + ".*.tmp"):
            if re.fullmatch(r"\.[0-9a-f]{16}\.tmp", path.removeprefix(self.path)):
                with suppress(OSError):  # it may be gone, or, on Windows, still open
                    os.unlink(path)

    def refusal(self, reason: str) -> ValueError:
        """Return the error that says why the file cannot be gone on from."""
        return ValueError(
            f"The checkpoint {self.path} {reason}. Delete the file to train anew, or choose"
            " another path."
        )

    def _lost(self, owner: str) -> RuntimeError:
        return RuntimeError(
            f"The checkpoint {self.path} has come to belong to {owner}: this fit, of {self.me},"
            " stops, and leaves the file as it is. One path is for one fit at a time."
        )


def _fails(read: Callable[[], Any]) -> bool:
    """Whether reading fails once more: what the handler of a signal has raised does not."""
    try:
        read()
    except Exception:
        return True
    return False


def _check_place(path: str) -> None:
    """Refuse a path that no file can be written to."""
    place = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(place)):
        raise FileNotFoundError(f"There is no directory to write the checkpoint {path} to.")
    if os.path.isdir(place):
        raise IsADirectoryError(f"The checkpoint must be a file; {path} is a directory.")
    if os.path.lexists(place) and not os.path.isfile(place):
        raise OSError(f"The checkpoint must be a regular file; {path} is something else.")


def _archive(file: Any, arrays: dict[str, Any]) -> None:
    """Write arrays into an open file; NumPy 2.0's own function leaves it open on errors."""
    archive = zipfile.ZipFile(file, "w")
    try:
        with archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, array, allow_pickle=False)
    except ValueError as error:  # of an archive that cannot be closed where it was interrupted
        # When it and its open part are let go they would try again: that goes nowhere.
        archive.fp = io.BytesIO()
        archive.close = lambda: None  # type: ignore[method-assign]
        raise error.__context__ or error from None


def _name(temporary: str, path: str) -> None:
    """Give a file a name that no file has."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.replace(temporary, path)


def _where(runs: list[list[dict[str, Any]]]) -> list[list[int]]:
    """Return the epoch of every stage of every network."""
    return [[state["epoch"] for state in run] for run in runs]


def _tells(kept: dict[str, Any], identity: dict[str, Any]) -> bool:
    """Whether plain values say which fit they are of, as an identity does."""
    told = (None, str, [(None, str)])
    parts: list[Any] = [kept.get(what) for what in identity]
    return all(isinstance(part, dict) and _is_like([*part.values()], [told]) for part in parts)


def _is_whole(kept: dict[str, Any], n: int, n_factors: int) -> bool:
    """Whether plain values are of the types and shapes of a fit of n parameters."""
    blank = State(Parameters((n - 1, 1), np.zeros(n)), None, 0)
    theta = (None, blank.parameters.theta)
    state = {**blank.plain(), "average": theta, "best_theta": theta}
    state |= {"end": (*End,), "curves": CURVES}
    states = (state, {**state, "optimizer": optimizers_like(n, n_factors)})
    pattern = {"seed": 0, "complete": False, "runs": [[states]]}
    if not _is_like({name: kept.get(name) for name in pattern}, pattern):
        return False
    begun = [bool(run) for run in kept["runs"]]  # one after the other, and for good
    in_order = begun == sorted(begun, reverse=True) and (any(begun) or not kept["complete"])
    return in_order and all(
        len({len(state["curves"][name]) for name in OF_SEARCH}) == 1
        for run in kept["runs"]
        for state in run
    )


def optimizers_like(n: int, n_factors: int) -> tuple[dict[str, Any], ...]:
    """Return patterns of the optimisers of n parameters, Adam's maybe of factors too."""
    return tuple(
        {"name": name, "t": 0, "state": np.empty((of.n_states, width))}
        for name, of in OPTIMIZERS.items()
        for width in ([n, n + n_factors] if name == "adam" else [n])
    )


def _is_like(kept: Any, pattern: Any) -> bool:
    """Whether plain values are of the types and shapes of a pattern.

    Of a tuple it is one of the patterns, of a list every entry; an int is a count, a text itself,
    and `str` any text.
    """
    if isinstance(pattern, tuple):
        return any(_is_like(kept, one) for one in pattern)
    if isinstance(pattern, dict):
        return (
            isinstance(kept, dict)
            and kept.keys() == pattern.keys()
            and all(_is_like(kept[name], of) for name, of in pattern.items())
        )
    if isinstance(pattern, list):
        return isinstance(kept, list) and all(_is_like(one, pattern[0]) for one in kept)
    if isinstance(pattern, np.ndarray):
        return (
            isinstance(kept, np.ndarray) and kept.dtype.kind == "f" and kept.shape == pattern.shape
        )
    if isinstance(pattern, float):
        return isinstance(kept, int | float) and not isinstance(kept, bool)
    if pattern is str or isinstance(pattern, str):
        return isinstance(kept, str) and (pattern is str or kept == pattern)
    return type(kept) is type(pattern) and (type(kept) is not int or 0 <= kept < 2**63)


def _with_array(part: dict[str, Any], arrays: dict[str, Any]) -> Any:
    """Return the array that stands for a dict of JSON, or the dict."""
    return arrays[part["array"]] if list(part) == ["array"] else part


def _identity(estimator: Any, task: Task, seed: int) -> dict[str, Any]:
    """Return what makes a fit this one and no other, as JSON has it.

    Of a class and a parameter both what is shown of it and its digest.
    """
    parameters = {
        name: _told(name, value)
        for name, value in sorted(estimator.get_params(deep=False).items())
        if name not in IRRELEVANT
    }
    if isinstance(estimator.random_state, np.random.RandomState):  # where it stands
        parameters["random_state"] = [f"RandomState that gave {seed}", ""]
    data = task.digests(digest)
    if task.earlier is not None:  # a warm start begins where the last fit ended
        parts = (task.earlier, task.inputs, task.targets)
        data["earlier fit"] = fingerprint([part.plain() for part in parts])
    cls = type(estimator)
    return {
        "estimator": {"class": [cls.__qualname__, _told("class", cls)[1]]},
        "parameters": parameters,
        "data": data,
    }


def _told(name: str, value: Any) -> list[str]:
    """Return what is shown of a value, and a digest that tells it from others."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    try:
        return [shown, fingerprint(value)]
    except TypeError as error:
        raise TypeError(
            f"Checkpoint cannot tell {name}={shown} from others: {error}. A fit that is to go on"
            " after a crash needs functions and objects that numbers, texts, arrays and other"
            " functions say all of."
        ) from error


def digest(array: Any) -> str | None:
    """Return the digest of data, of integers whatever their width."""
    if array is None:
        return None
    return fingerprint(array.astype(np.int64) if array.dtype.kind in "biu" else array)


def _difference(what: str, then: Any, now: Any) -> str:
    """Say in what two fits differ, if they do."""
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if what == "data" and names:
        return f"the data differ ({', '.join(names)})"
    return "; ".join(_change(name, then.get(name), now.get(name)) for name in names)


def _change(name: str, then: list[str] | None, now: list[str] | None) -> str:
    was, is_now = (value[0] if value else "unset" for value in (then, now))
    if was == is_now:
        return f"{name} was another {is_now}, by its code, names, constants, closure or state"
    if name == "class":
        return f"of a {was}, not a {is_now}"
    return f"{name} was {was} and is {is_now}"
