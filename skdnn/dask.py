"""The three estimators on dask arrays and dataframes, larger than one machine's memory.

``from skdnn.dask import DaskDNNRegressor``; the extra ``skdnn[dask]`` has what it needs. The
fit is that of ``skdnn``: parameters, optimiser and the decision when to stop are in the
process that calls `fit`. The rows are in shards, which a `dask.distributed` cluster holds as
futures with their lineage, so that what dies with a worker is made anew; without a client they
are in this process.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, fields, replace
from math import ceil
from typing import Any, NoReturn, Self

import dask
import dask.array as da
import dask.dataframe as dd
import distributed
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

import skdnn
from skdnn._sklearn import HasMethods, _fit_context, _get_feature_names
from skdnn.base import BaseDNN
from skdnn.checks import check
from skdnn.columns import Columns
from skdnn.core.network import Parameters
from skdnn.declaration import Names, Settings, estimator, explained, group, invalid, param
from skdnn.door import check_together, located
from skdnn.fit.clock import Clock
from skdnn.fit.recipe import n_epochs
from skdnn.fit.rows import aligned
from skdnn.fit.shards import Here
from skdnn.fit.watch import Watched
from skdnn.parameters import COUNT, POSITIVE, is_share
from skdnn.shards import Reader, TaskInShards, read_lot
from skdnn.sums import accuracy_of, hits, r2_of, squares
from skdnn.targets import score_of

__all__ = ["DaskDNNBinaryClassifier", "DaskDNNClassifier", "DaskDNNRegressor", "resilient"]

# A step costs 20 to 80 ms beside its arithmetic, whose 4e10 operations take a core about a second.
WORK = 4e10
LEAST_ROWS, LEAST_STEPS = 4096, 64  # in a batch; in an epoch that has more rows than a batch


@dataclass(frozen=True)
class Cluster:
    """An engine whose handles are futures on the workers of a cluster."""

    client: Any  # the cluster's distributed.Client

    def load(self, parts: list[Any]) -> list[Any]:
        """Return the handles of delayed values; what they are made of is known to the cluster."""
        return self.client.compute(parts)

    def share(self, value: Any) -> Any:
        """Bring a value to the cluster as the result of a task, which can be run again.

        What is scattered is lost with the worker that holds it.
        """
        with warnings.catch_warnings():  # of parameters of more than 10 MB
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self.client.submit(itself, value, pure=False)

    def map(
        self, function: Callable[..., Any], *lists: Sequence[Any], same: Sequence[Any] = ()
    ) -> list[Any]:
        """Call a function on the workers that have most of its arguments."""
        lists += tuple([one] * len(lists[0]) for one in same)
        return self.client.map(function, *lists, pure=False, retries=2)

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """Return what is held."""
        return self.client.gather(list(handles))


class resilient:
    """A client whose `scatter` loses nothing with a worker: for joblib's backend "dask".

    joblib scatters the arguments of its tasks. What is scattered is in the memory of a worker and
    has no origin, so that a search whose worker dies ends with an error. Here it is the result
    of a task, which the scheduler runs again.

    Parameters
    ----------
    client : distributed.Client
        What all else is asked of.

    Examples
    --------
    >>> import joblib
    >>> from dask.distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from skdnn import DNNClassifier
    >>> from skdnn.dask import resilient
    >>> X, y = load_iris(return_X_y=True)
    >>> client = Client(processes=False, n_workers=1, dashboard_address=":0")
    >>> with client, joblib.parallel_config("dask", client=resilient(client)):
    ...     bool(cross_val_score(DNNClassifier(random_state=0), X, y, cv=3).min() > 0.9)
    True
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def scatter(self, data: Any, asynchronous: bool = False, **options: Any) -> Any:
        """Return futures of data as ``distributed.Client.scatter`` does.

        Parameters
        ----------
        data : object or list
            What is to be brought to the cluster; of a list there is a future for each entry.
        asynchronous : bool, default=False
            Whether to return what can be awaited.
        **options
            Those of the client, such as `broadcast`: workers ask each other for what they need.
        """
        share = Cluster(self._client).share
        futures = [share(one) for one in data] if isinstance(data, list) else share(data)
        return _already(futures) if asynchronous else futures


async def _already(value: Any) -> Any:
    return value


class InProcess(Here):
    """The engine of shards in this process."""

    def load(self, parts: list[Any]) -> list[Any]:
        """Return delayed values."""
        return list(dask.compute(*parts, scheduler="threads"))


def itself(value: Any) -> Any:
    """Return the value."""
    return value


# --------------------------------------------------------------------------- collections of dask


def columns_of(X: Any) -> list[Any] | int:
    """Return the names of a collection's columns, or their number if they have none."""
    if isinstance(X, dd.DataFrame):
        names = _get_feature_names(X._meta)
        return len(X.columns) if names is None else list(names)
    if not isinstance(X, da.Array):
        raise TypeError(
            "X must be a dask array or dataframe, and rows in memory are for the estimators of"
            f" skdnn; got {type(X).__module__}.{type(X).__qualname__}. There is"
            " dask.array.from_array."
        )
    if X.ndim != 2:
        raise ValueError(f"X must have 2 dimensions; got a dask array of {X.ndim}.")
    return int(X.shape[1])


def partitions_of(given: Any, name: str, X: Any) -> list[Any]:
    """Return the partitions of a collection as delayed values, cut as those of X are."""
    if isinstance(given, dd.DataFrame | dd.Series):
        return list(given.to_delayed())
    chunks = X.chunks[0] if isinstance(X, da.Array) else (np.nan,) * X.npartitions
    unknown = bool(np.isnan(np.sum(chunks)))
    if not isinstance(given, da.Array):
        if dask.is_dask_collection(given) or unknown:
            raise TypeError(
                f"{name} must be an array, a series or a dataframe of dask; got"
                f" {type(given).__module__}.{type(given).__qualname__}."
            )
        given = da.from_array(np.asarray(given))
    given = given.rechunk({axis: -1 for axis in range(1, given.ndim)})
    if not unknown and not np.isnan(given.shape[0]):
        if given.shape[0] != X.shape[0]:
            raise ValueError(
                f"{name} must have the {X.shape[0]} rows of X; it has {given.shape[0]}."
            )
        given = given.rechunk({0: chunks})
    return list(given.to_delayed().ravel())


def together(X: Any, y: Any, w: Any, suffix: str = "") -> list[tuple[Any, Any, Any]]:
    """Return the partitions of X, y and weights, delayed, side by side."""
    if y is None:
        raise ValueError(f"y{suffix} must be passed; it is None.")
    x = partitions_of(X, f"X{suffix}", X)
    beside = []
    for given, name in ((y, f"y{suffix}"), (w, f"sample_weight{suffix}")):
        parts = [None] * len(x) if given is None else partitions_of(given, name, X)
        if len(parts) != len(x):
            raise ValueError(
                f"{name} must have as many partitions as X{suffix}, {len(x)}; it has"
                f" {len(parts)}. Of arrays compute_chunk_sizes() lets them be cut alike."
            )
        beside.append(parts)
    return list(zip(x, *beside, strict=True))


# -------------------------------------------------------------------------------- the estimators


def batch_rows(n: int, n_parameters: int) -> int:
    """Return the rows of a batch that is worth a step on a cluster.

    Its arithmetic, 6 operations a row and parameter, is that of a second on a core, unless an
    epoch would have fewer than 64 steps; 4,096 rows are always worth one.
    """
    worth = ceil(WORK / (6 * n_parameters))
    return min(n, max(LEAST_ROWS, min(worth, n // LEAST_STEPS)))


@group
class OnCluster:
    """What the estimators on a cluster have besides."""

    client: Any = param(
        default=None,
        rule=[None, HasMethods(["submit", "map", "gather", "compute"])],
        doc="""distributed.Client or None
        Of the cluster to fit on; None is the client that is there, or, without any, this process.
        It does not change what is found.""",
    )
    n_shards: int | None = param(
        default=None,
        rule=[None, COUNT],
        doc="""int or None
        Into how many shards to cut the rows; None is one for each partition that has rows. Each
        step asks each shard for its part of the batch, so that it decides in what order
        gradients are added, and how many tasks there are in a step.""",
    )
    batch_size: Any = param(  # 'cluster' besides what it is elsewhere
        default="cluster",
        plain="auto",
        rule=[Names({"auto", "sqrt", "cluster"}), COUNT],
        doc="""int, 'auto', 'sqrt' or 'cluster'
        Rows in a batch of 'sgd' and 'adam', over all shards. 'cluster' takes so many that their
        arithmetic is worth the 20 to 80 ms that a step costs besides: 6.7e9 by the parameters,
        at most a 64th of the rows, and at least 4,096. 'sqrt' makes equal ones of at most 64 or
        about sqrt(n_samples) rows.""",
    )
    learning_rate_init: float = param(
        default=0.1,
        plain=0.001,
        rule=[POSITIVE],
        doc="""float
        The learning rate, > 0, of all solvers but 'lbfgs': twice that of the ordinary estimators,
        since batches are larger.""",
    )


class _DaskDNN(BaseDNN, OnCluster):
    """What the three estimators on a cluster share: the rows are collections of dask."""

    _local: type[Any]  # the ordinary estimator
    _told: Any  # what a partition tells of a score
    _scored: Any  # the score, of what all of them tell

    @explained
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : dask array or dataframe of shape (n_samples, n_features)
            Inputs. Each partition is read on the worker that has it.
        y : dask array, series or dataframe of shape (n_samples,) or (n_samples, n_outputs)
            Targets, or class labels of any type, in the partitions of X.
        sample_weight : dask array or series of shape (n_samples,), optional
            Weights >= 0, not all 0; a weight of k counts as k rows in the loss and in what scales
            columns. How many steps, held-out rows and ramps there are goes by the rows.
        X_val, y_val, sample_weight_val : collections of dask, optional
            Rows to validate on, in the place of `validation_fraction` of those of every shard.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If X is not a collection of dask.
        ValueError
            If a parameter or the data are unfit, or if the fit diverges; it says in which
            partition. What was fitted before is then kept.
        """
        clock = Clock(self.time_limit)
        check_together(X_val, y_val, sample_weight_val)
        check(self, validates=X_val is not None)
        self._check_held_out(X_val)
        model, earlier = self._go_on_from() if self.warm_start else (None, None)
        engine, local = self._engine(), self._unfitted()
        reader = Reader(local, columns_of(X))
        if model is not None:
            names = self._feature_names
            named = self.n_features_in_ if names is None else list(names)
            reader = Reader(local, named, columns=model.inputs.columns)
        elif isinstance(X, da.Array) and isinstance(self.categorical_features, str | None):
            reader = replace(reader, columns=Columns([None] * X.shape[1]))

        def read(reader: Reader, X: Any, y: Any, w: Any) -> Any:
            gathered = dask.delayed(tuple, pure=False)
            given = [gathered(list(part)) for part in together(X, y, w, reader.suffix)]
            watched = Watched(X, y, w, whole=True)
            return read_lot(engine, reader, engine.load(given), watched, self.n_shards)

        with np.errstate(all="ignore"):
            lot, given = read(reader, X, y, sample_weight), None
            if X_val is not None:
                beside = Reader(local, reader.named, "_val", lot.whole.columns)
                given = read(beside, X_val, y_val, sample_weight_val)
            targets = self._targets(lot.whole, model, given and given.whole, earlier)
            task = TaskInShards(self, engine, lot, given, targets, model, earlier)
            return self._follow(task, clock)

    def _check_held_out(self, X_val: Any) -> None:
        """Refuse what asks for rows by number, or for two lots of them as one."""
        if not is_share(self.validation_fraction):
            raise invalid(self, "validation_fraction", "a share of the rows on a cluster")
        if X_val is not None and self.refit is True:
            raise invalid(self, "refit", "'auto' or False beside X_val on a cluster")

    def _engine(self) -> Any:
        """Return where the shards are to be: with the client, or here."""
        if self.client is not None:
            return Cluster(self.client)
        try:
            return Cluster(distributed.get_client())
        except ValueError:
            return InProcess()

    def _unfitted(self) -> Any:
        """Return an ordinary estimator of the same parameters."""
        names = {field.name for field in fields(self._local)}
        params = self.get_params(deep=False)
        if params["batch_size"] == "cluster":
            del params["batch_size"]
        return self._local(**{name: params[name] for name in names & set(params)})

    def to_local(self) -> Any:
        """Return the ordinary estimator: fitted if this one is, and independent of it.

        Returns
        -------
        DNNRegressor, DNNBinaryClassifier or DNNClassifier
            Of the same parameters; `batch_size` 'cluster' becomes its own default.
        """
        local, params = self._unfitted(), self.get_params(deep=False)
        kept = {name: value for name, value in self.__getstate__().items() if name not in params}
        local.__setstate__(deepcopy(kept))
        return local

    def _settings(self, task: Any, partial: bool = False) -> Settings:
        values = vars(super()._settings(task, partial)).copy()
        del values["client"]
        if values["solver"] != "lbfgs" and values["early_stopping"] and values["scoring"] != "loss":
            raise invalid(self, "scoring", "'auto' or 'loss': a cluster judges by the loss")
        if values["batch_size"] == "cluster":
            values["batch_size"] = batch_rows(
                task.n, Parameters.count(task.network.parameters.sizes)
            )
        if not values["keeps_max_iter"] and isinstance(values["batch_size"], int):
            values["max_iter"] = n_epochs(task.n, values["batch_size"])
        return Settings(**values)

    def _can_partial_fit(self) -> NoReturn:
        raise AttributeError(
            f"partial_fit is of {self._local.__name__}, which to_local() returns: a chunk is in"
            " memory."
        )

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted estimator on the same cluster: a client has no copy."""
        without = copy(self)
        without.client = None
        new = super(_DaskDNN, without).__sklearn_clone__()
        new.client = self.client
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Return what is kept in a file: all but the client."""
        return {**super().__getstate__(), "client": None}

    # Prediction

    def predict(self, X: Any) -> Any:
        """Predict the targets, or the class, of every row of X.

        Parameters
        ----------
        X : dask array or dataframe, or rows in memory, of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        dask array of shape (n_samples,) or (n_samples, n_outputs)
            Nothing is computed yet; an ndarray of rows in memory.
        """
        return self._of_partitions("predict", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of a classifier, or a regressor's R^2, of rows where they are.

        Of several quantiles it is the mean of their D2, for which y and the predictions, but not
        X, are brought here.

        Parameters
        ----------
        X : dask array or dataframe, or rows in memory, of shape (n_samples, n_features)
            Inputs.
        y : collection of dask, or in memory, of shape (n_samples,) or (n_samples, n_outputs)
            True targets or labels.
        sample_weight : collection of dask, or in memory, of shape (n_samples,), optional
            Weights.

        Returns
        -------
        float
        """
        if not dask.is_dask_collection(X):
            return super().score(X, y, sample_weight)
        check_is_fitted(self)
        engine, loss = self._engine(), self._model.targets.loss
        if loss.levels:
            needed = [y, self.predict(X), sample_weight]
            return score_of(loss, *engine.gather(engine.load(needed)))
        model = dask.delayed(self.to_local(), traverse=False)
        call, given = dask.delayed(told, pure=False), enumerate(together(X, y, sample_weight))
        parts = [call(self._told, model, i, *part) for i, part in given]
        return self._scored(engine.gather(engine.load(parts)))

    def _of_partitions(self, method: str, X: Any) -> Any:
        """Return what a method of the ordinary estimator says of each partition, when asked."""
        if not dask.is_dask_collection(X):
            return getattr(super(), method)(X)
        check_is_fitted(self)
        columns_of(X)
        local = self.to_local()
        is_array = isinstance(X, da.Array)
        example = getattr(local, method)(
            np.zeros((1, X.shape[1]), X.dtype) if is_array else X._meta_nonempty
        )
        sizes = X.chunks[0] if is_array else (np.nan,) * X.npartitions
        model, call = dask.delayed(local, traverse=False), dask.delayed(predicted)
        return da.concatenate(
            [
                da.from_delayed(
                    call(model, method, part, example[:0]),
                    (size, *example.shape[1:]),
                    meta=example[:0],
                )
                for part, size in zip(partitions_of(X, "X", X), sizes, strict=True)
            ],
            allow_unknown_chunksizes=True,
        )


def predicted(model: Any, method: str, X: Any, nothing: NDArray[Any]) -> NDArray[Any]:
    """Return what a model says of a partition, which may be empty."""
    return getattr(model, method)(aligned(X)) if X.shape[0] else nothing


def told(of: Callable[..., Any], model: Any, i: int, X: Any, y: Any, w: Any) -> Any:
    """Return what a function tells of a partition, for a score; None if it has no rows."""
    with located(f"partition {i}"):
        return of(model, *map(aligned, (X, y, w))) if X.shape[0] else None


class _DaskDNNClassifier(_DaskDNN):
    """What the two classifiers on a cluster share."""

    _told, _scored = staticmethod(hits), staticmethod(accuracy_of)

    def decision_function(self, X: Any) -> Any:
        """Return what decides: the log-odds of two classes, or raw outputs of several.

        Parameters
        ----------
        X : dask array or dataframe, or rows in memory, of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        dask array of shape (n_samples,), or (n_samples, n_classes)
            Nothing is computed yet; an ndarray of rows in memory.
        """
        return self._of_partitions("decision_function", X)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of every class, in the order of ``classes_``.

        Parameters
        ----------
        X : dask array or dataframe, or rows in memory, of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        dask array of shape (n_samples, n_classes)
            Nothing is computed yet; an ndarray of rows in memory.
        """
        return self._of_partitions("predict_proba", X)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`, finite where that rounds to 0.

        Parameters
        ----------
        X : dask array or dataframe, or rows in memory, of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        dask array of shape (n_samples, n_classes)
            Nothing is computed yet; an ndarray of rows in memory.
        """
        return self._of_partitions("predict_log_proba", X)


@estimator
class DaskDNNRegressor(_DaskDNN, skdnn.DNNRegressor):
    """:class:`~skdnn.DNNRegressor` on dask arrays and dataframes.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    skdnn.DNNRegressor : The same on rows in memory, which is faster where they fit.

    Examples
    --------
    >>> import dask.array as da
    >>> from skdnn.dask import DaskDNNRegressor
    >>> X = da.random.default_rng(0).normal(size=(2000, 4), chunks=(500, 4))
    >>> y = X[:, 0] - X[:, 1] ** 2
    >>> model = DaskDNNRegressor(hidden_layer_sizes=(32,), max_iter=20, random_state=0).fit(X, y)
    >>> model.predict(X)
    dask.array<concatenate, shape=(2000,), dtype=float64, chunksize=(500,), chunktype=numpy.ndarray>
    """

    _local = skdnn.DNNRegressor
    _told, _scored = staticmethod(squares), staticmethod(r2_of)


@estimator
class DaskDNNBinaryClassifier(_DaskDNNClassifier, skdnn.DNNBinaryClassifier):
    """:class:`~skdnn.DNNBinaryClassifier` on dask arrays and dataframes.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    skdnn.DNNBinaryClassifier : The same on rows in memory, which is faster where they fit.
    """

    _local = skdnn.DNNBinaryClassifier


@estimator
class DaskDNNClassifier(_DaskDNNClassifier, skdnn.DNNClassifier):
    """:class:`~skdnn.DNNClassifier` on dask arrays and dataframes.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    skdnn.DNNClassifier : The same on rows in memory, which is faster where they fit.
    """

    _local = skdnn.DNNClassifier
