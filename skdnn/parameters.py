"""The estimators' parameters, each written once: default, rule, meanings, description.

A parameter is a field of a dataclass, in one of the groups that the estimators derive from.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer_names

from skdnn._sklearn import HasMethods, Interval, Options
from skdnn.core.activations import ACTIVATIONS
from skdnn.core.initializers import INITIALIZERS
from skdnn.core.losses import LOSSES
from skdnn.core.schedules import SCHEDULES
from skdnn.declaration import Auto, Names, Settings, group, is_auto, param
from skdnn.fit.holdout import LEAST_SPARE
from skdnn.fit.recipe import n_epochs
from skdnn.inputs import SCALERS
from skdnn.names import (
    ActivationName,
    AutoName,
    InitializerName,
    LossName,
    PrecisionName,
    ScalingName,
    ScheduleName,
    SolverName,
)

# Noise, held-out rows and schedules are for solvers that take mini-batches, and fewer rows
# than HELD_OUT_FROM cannot spare any.
STOCHASTIC = ("sgd", "adam")
HELD_OUT_FROM = 64
SMOOTHING = 0.05  # of labels
# What follows from the number of rows


def _trains_in_single(given: Settings, n: int) -> str | None:
    """What "auto" has scaled fits into float32; a target of classes has no scale."""
    scaled = given.scale_inputs is not None and getattr(given, "scale_target", True)
    single = given.solver in STOCHASTIC and n >= HELD_OUT_FROM and scaled
    return "single" if single else None


# The parameters

COUNT: Any = Interval(Integral, 1, None, closed="left")
NOT_NEGATIVE: Any = Interval(Real, 0, None, closed="left")
POSITIVE: Any = Interval(Real, 0, None, closed="neither")
SHARE: Any = Interval(Real, 0, 1, closed="left")
AUTO: Any = Names({"auto"})


@group
class Common:
    """What the three estimators share, by name only."""

    solver: SolverName = param(
        default="adam",
        rule=[Names({"gd", "sgd", "adam", "lbfgs"})],
        doc="""{'gd', 'sgd', 'adam', 'lbfgs'}
        'gd' is the paper's gradient descent on the full batch, W <- W - rate dW; 'sgd' is the
        same on mini-batches, with momentum; 'adam' that of Kingma and Ba (2015); 'lbfgs' is
        SciPy's quasi-Newton method on the full batch. A parameter that scikit-learn's MLP has
        too may be given to a solver that does not use it; any other must then be off.""",
    )
    alpha: float = param(
        default=0.0001,
        rule=[NOT_NEGATIVE],
        doc="""float
        Strength of the L2 term: alpha / (2 W) times the sum of the squared weights is added to
        the mean loss, W being the total sample weight. Biases are left out.""",
    )
    batch_size: int | Literal["auto", "sqrt"] = param(
        default="sqrt",
        plain="auto",
        rule=[Names({"auto", "sqrt"}), COUNT],
        doc="""int, 'auto' or 'sqrt'
        Rows in a mini-batch of 'sgd' and 'adam'; 'sqrt' makes equal ones of at most 64 or about
        sqrt(n_samples) rows. In `partial_fit` that is of the rows of all calls, where a call of
        many rows is still 32 steps.""",
        auto=Auto("'auto' is min(200, n_samples)."),
    )
    learning_rate: ScheduleName | Callable[[float], float] = param(
        default="auto",
        plain="constant",
        rule=[Names({"auto", *SCHEDULES}), callable],
        hint="It names a schedule; the rate that this multiplies is learning_rate_init.",
        doc="""str or callable
        What `learning_rate_init` is multiplied by. With p in [0, 1] the progress through
        `max_iter`: 'constant' 1; 'cosine' (1 + cos(pi p)) / 2; 'one_cycle' a rise over 0.3 and
        a fall to 0; 'coslog4' (1 - cos(2 pi log2(1 + 15 p))) / 2; a callable is called with p.
        'invscaling' divides by (rows seen + 1)^power_t, at each epoch's start; 'adaptive'
        divides by 5 whenever `n_iter_no_change` epochs bring no improvement, down to 1e-6;
        'inverse_sqrt' divides by sqrt(1 + steps / 1000). In `partial_fit` all are constant but
        'invscaling' and 'inverse_sqrt', which count the rows and steps of all calls.""",
        auto=Auto(
            """'auto' is 'cosine' for 'sgd' and 'adam', and 'inverse_sqrt' in `partial_fit`;
            'constant' for the other solvers.""",
            lambda given, n: "cosine" if given.solver in STOCHASTIC else "constant",
        ),
    )
    learning_rate_init: float = param(
        default=0.05,
        plain=0.001,
        rule=[POSITIVE],
        doc="""float
        The learning rate, > 0, of all solvers but 'lbfgs'.""",
    )
    power_t: float = param(
        default=0.5,
        rule=[NOT_NEGATIVE],
        doc="""float
        The exponent of 'invscaling', >= 0.""",
    )
    max_iter: int | AutoName = param(
        default="auto",
        plain=200,
        rule=[AUTO, COUNT],
        doc="""int or 'auto'
        The most epochs (passes over the rows) or, with 'lbfgs', iterations. Where early stopping
        goes by the loss, `n_iter_no_change` is 'auto' and the schedule ends at 0, more than
        'auto' are come to by searches of as many as 'auto', twice, four times as many and so on,
        as long as the loss falls to the end and each is better than the one before: more is not
        less.""",
        auto=Auto(
            """'auto' is 200 for 'gd', 'lbfgs' and rows that make one mini-batch, and otherwise the
            epochs that make 3,000 steps, but at least 16, and at most 60 unless they make fewer
            than 750 steps; a `refit` may take up to 2.75 times as many.""",
            lambda given, n: n_epochs(n) if given.solver in STOCHASTIC else 200,
        ),
    )
    shuffle: bool = param(
        default=True,
        rule=["boolean"],
        doc="""bool
        Whether each epoch takes the rows in a new order; a full batch never does.""",
    )
    random_state: Any = param(
        default=None,
        rule=["random_state"],
        doc="""int, RandomState instance or None
        Seeds the first weights, the order of rows, the held-out rows and dropout. An int makes
        fits repeatable.""",
    )
    tol: float = param(
        default=1e-4,
        rule=[NOT_NEGATIVE],
        doc="""float
        By how much the loss, or the validation score, has to improve for an epoch to count
        among `n_iter_no_change`; with 'lbfgs' the largest entry of the gradient at which it
        stops. It does nothing where `n_iter_no_change` is 'auto', the schedule is not 'adaptive',
        and early stopping is on or the schedule ends at 0, as at the defaults.""",
    )
    verbose: bool | int = param(
        default=False,
        rule=["verbose"],
        doc="""bool or int
        Whether to print one line an epoch.""",
    )
    warm_start: bool = param(
        default=False,
        rule=["boolean"],
        doc="""bool
        Whether `fit` goes on from the weights and the optimiser's state of the last one, for
        `max_iter` further epochs.""",
    )
    momentum: float = param(
        default=0.9,
        rule=[Interval(Real, 0, 1, closed="both")],
        doc="""float
        Momentum of 'sgd', in [0, 1].""",
    )
    nesterovs_momentum: bool = param(
        default=True,
        rule=["boolean"],
        doc="""bool
        Whether 'sgd' takes Nesterov's form of momentum.""",
    )
    early_stopping: bool | AutoName = param(
        default="auto",
        plain=False,
        rule=["boolean", AUTO],
        doc="""bool or 'auto'
        Whether to hold out `validation_fraction` of the rows (unless X_val is given to `fit`),
        stop when their score has not improved for `n_iter_no_change` epochs, and keep the
        weights of the best epoch.""",
        auto=Auto(
            """'auto' is True for 'sgd' and 'adam' from 64 rows on, or if X_val is given or
            `validation_fraction` is a splitter; without these not where all rows but three or less
            are each the only one of their class.""",
            lambda given, n: (
                given.solver in STOCHASTIC
                and (
                    given.validates
                    or (n >= HELD_OUT_FROM and given.n_spare >= LEAST_SPARE)
                    or not is_share(given.validation_fraction)
                )
            ),
        ),
    )
    validation_fraction: Any = param(
        default=0.2,
        plain=0.1,
        rule=[SHARE, HasMethods(["split", "get_n_splits"]), list, tuple, Iterator],
        doc="""float, splitter or iterable
        What early stopping holds out: a share of the rows, stratified by class; or what a
        splitter of scikit-learn such as ``TimeSeriesSplit()`` says (with `groups` if `fit` is
        given them), or an iterable of pairs of row numbers, to train on and to hold out: then
        the last of its splits, for each of several networks. The held-out rows of classes that
        are not trained on do not judge.""",
    )
    beta_1: float = param(
        default=0.9,
        rule=[SHARE],
        doc="""float
        Decay of Adam's average of gradients, in [0, 1).""",
    )
    beta_2: float = param(
        default=0.95,
        plain=0.999,
        rule=[SHARE],
        doc="""float
        Decay of Adam's average of squared gradients, in [0, 1).""",
    )
    epsilon: float = param(
        default=1e-8,
        rule=[POSITIVE],
        doc="""float
        Added to the denominator of Adam's step, > 0.""",
    )
    n_iter_no_change: float | AutoName = param(
        default="auto",
        plain=10,
        rule=[AUTO, COUNT, Options(Real, {np.inf})],
        doc="""int, inf or 'auto'
        How many epochs in a row without an improvement by `tol` end the fit.""",
        auto=Auto(
            """'auto': under early stopping those of 50 steps past the best epoch, but at least 3;
            otherwise it is inf with a schedule that ends at 0, and 10 without, as it always is
            with 'adaptive'."""
        ),
    )
    max_fun: int = param(
        default=15000,
        rule=[COUNT],
        doc="""int
        The most evaluations of the objective by 'lbfgs'.""",
    )
    initializer: InitializerName = param(
        default="spread",
        plain="glorot_uniform",
        rule=[Names({"auto", *INITIALIZERS})],
        doc="""str
        The first weights: 'glorot', 'he' or 'lecun', each with '_uniform' or '_normal', with
        biases of 0; 'spread' draws weights from N(0, 1 / n[l-1]), N(0, 2 / n[l-1]) from the third
        layer of relu and its kin on, and biases from N(0, 1/4), and starts the output layer at 0.
        For W[1] the mean square of a scaled row, in which eight ramps count as one column, stands
        in the place of n[0].""",
        auto=Auto(
            """'auto' chooses by activation: He's for relu and its kin, LeCun's for selu, Glorot's
            for the others and the output layer, each '_uniform'."""
        ),
    )
    layer_rates: Literal["auto", "fan_in"] | None = param(
        default="auto",
        plain=None,
        off=None,
        rule=[None, Names({"auto", "fan_in"})],
        doc="""{'auto', 'fan_in'} or None
        With 'fan_in' the learning rate of W[l] is divided by sqrt(n[l-1]), with n[0] as
        `initializer` has it, so that a step moves the output by as much whatever the widths; of
        more than 8 layers all rates are divided by an eighth of their number. None is one rate for
        all parameters.""",
        auto=Auto(
            "'auto' is 'fan_in' for 'adam' and None for the other solvers.",
            lambda given, n: "fan_in" if given.solver == "adam" else None,
        ),
    )
    dropout: float | Sequence[float] | NDArray[Any] = param(
        default=0.0,
        off=0.0,
        rule=[SHARE, "array-like"],
        doc="""float or sequence of float
        The share of a hidden layer's units that each training step leaves out, one rate for all
        layers or one for each, in [0, 1). What is kept is scaled up; predictions use all units.
        Srivastava et al. (2014).""",
    )
    weight_decay: float | AutoName = param(
        default="auto",
        plain=0.0,
        off=0.0,
        rule=[AUTO, NOT_NEGATIVE],
        doc="""float or 'auto'
        Decoupled decay: before each step the weights, not the biases, are multiplied by
        1 - rate * weight_decay. Loshchilov and Hutter (2019).""",
        auto=Auto(
            "'auto' is 0.02 for 'sgd' and 'adam', 0 otherwise.",
            lambda given, n: 0.02 if given.solver in STOCHASTIC else 0.0,
        ),
    )
    clip_norm: float | None = param(
        default=None,
        off=None,
        rule=[None, POSITIVE],
        doc="""float or None
        The largest Euclidean norm of a step's gradient, all layers together.""",
    )
    average_decay: float | AutoName = param(
        default="auto",
        plain=0.0,
        off=0.0,
        rule=[AUTO, SHARE],
        doc="""float or 'auto'
        With d > 0 the model is the exponential moving average of the weights after each step,
        m <- d m + (1 - d) theta, divided by 1 - d^t as Adam's averages are.""",
        auto=Auto(
            """'auto' is 0.99 for 'sgd' and 'adam', and in `partial_fit` 1 - 9 / (t + 8) at step
            t, an average over about the last ninth of all steps; 0 otherwise.""",
            lambda given, n: 0.99 if given.solver in STOCHASTIC else 0.0,
        ),
    )
    warmup: float = param(
        default=0.0,
        off=0.0,
        rule=[SHARE],
        doc="""float
        The share of `max_iter` over which the learning rate rises linearly from 0.""",
    )
    scoring: str | Callable[..., Any] | None = param(
        default="auto",
        plain=None,
        off=None,
        rule=[
            None,
            Names(
                {"auto", "loss"},
                get_scorer_names(),
                " or the name of a scorer, one of sklearn.metrics.get_scorer_names()",
            ),
            callable,
        ],
        doc="""str, callable or None
        What early stopping maximises: None for the estimator's `score`, 'loss' for the
        validation loss (minimised; under `calibrate` after calibration), or any scorer of
        scikit-learn.""",
        auto=Auto("'auto' is 'loss'.", lambda given, n: "loss"),
    )
    refit: bool | AutoName = param(
        default="auto",
        plain=False,
        off=False,
        rule=["boolean", AUTO],
        doc="""bool or 'auto'
        Whether early stopping is followed by a fit on all rows, for as many epochs as were the
        best. If `max_iter` is 'auto', or more than that, `scoring` the loss and that fell by a
        twentieth since half of these (by less where many rows tell), it is for 1 + 1.75
        best_n_iter_ / max_iter times as many, at as much slower a pace of the schedule. With
        X_val, True fits on X and X_val together.""",
        auto=Auto(
            "'auto' is True for 'sgd' and 'adam', and False with X_val.",
            lambda given, n: given.solver in STOCHASTIC and not given.validates,
        ),
    )
    categorical_features: Any = param(
        default="from_dtype",
        plain=None,
        rule=[None, Names({"from_dtype"}), "array-like"],
        doc="""{'from_dtype'}, None or array-like of int, str or bool
        Which columns of X hold categories: by numbers, names or a mask; with 'from_dtype' those
        of a pandas or polars frame that hold categories, enums, strings or booleans; None for
        none. A level has a column of the input, 0 or 1, if the column has at most 32 levels and
        the level more than a thousandth of the rows; levels of a column of more are told by the
        mean of y over the rows of other folds. A missing value is a level. See
        :doc:`/tables`.""",
    )
    scale_inputs: ScalingName | None = param(
        default="piecewise",
        plain=None,
        rule=[None, Names(set(SCALERS))],
        doc="""{'standard', 'clipped', 'robust', 'piecewise'} or None
        How columns of numbers are scaled inside: to mean 0 and deviation 1; the same with smooth
        clipping at 3, x / sqrt(1 + (x / 3)^2); to median 0 and interquartile range 1 with that
        clipping; or, 'piecewise', as 'clipped', with up to 8 columns beside each, or more if it
        has a long tail, that climb between its quantiles: a piecewise linear function of the
        column is a sum of them.
        A sparse X is scaled like a dense one, and stays as sparse. What is missing, NaN, is the
        mean (or the median), with a 0/1 column beside it where fit saw it missing.

        In `partial_fit` the statistics go on with every call: means and deviations exactly,
        medians and ranges as means over the calls, but knots stay those of the first call, which
        should have more than a few rows. W[1] and b[1] are rewritten for them, so
        that W[1] f(x) + b[1] stays: exactly for 'standard', and with clipping as nearly as a
        line can, by which the input of a unit changes by at most 15 times the sum of its
        weights' magnitudes, and by next to nothing once the statistics have settled.""",
    )
    n_estimators: int = param(
        default=1,
        rule=[COUNT],
        doc="""int
        With k > 1, k networks in the same coordinates, each from its own seed, which decides
        its first weights and the order of its rows. The mean of their raw outputs predicts.
        Where they are refitted, the search of the first serves all: five take about three times
        as long as one. Without `refit` each holds out rows of its own. They are
        ``estimators_``; `partial_fit`, `warm_start` and the attributes of a single network,
        such as ``coefs_``, need k = 1.""",
    )
    n_jobs: int | None = param(
        default=None,
        rule=[None, Integral],
        doc="""int or None
        How many of several networks to fit at once, each in a process of joblib's. None is 1
        unless a ``joblib.parallel_config`` says otherwise, -1 all processors. It does not
        change what is found. With callbacks set they are fitted one after the other.""",
    )
    time_limit: float | None = param(
        default=None,
        off=None,
        rule=[None, POSITIVE],
        doc="""float or None
        The seconds to make the best of: networks are added to `n_estimators`, up to 25, as long
        as there is time for one more, and a single one that needs more than there is ends
        early. It is the clock that says how many; they are the first of as many `n_estimators`,
        and ``recipe_`` tells. Longer searches are for `max_iter` to allow. What comes before
        and after the training is not cut short.""",
    )
    precision: PrecisionName | None = param(
        default="auto",
        plain=None,
        rule=[None, Names({"auto", "single"})],
        doc="""{'auto', 'single'} or None
        With 'single' a float64 X is trained on in float32, at about 0.6 of the time; the weights
        that come out, and predictions, are float64 again. None trains in the type of X.""",
        auto=Auto(
            """'auto' is 'single' for 'sgd' and 'adam' from 64 rows on, where inputs and target are
            scaled inside, and None otherwise and in `partial_fit`.""",
            _trains_in_single,
        ),
    )


@group
class Layers:
    """The hidden layers."""

    hidden_layer_sizes: int | Sequence[int] | NDArray[Any] = param(
        default=(96, 96),
        plain=(100,),
        kw_only=False,
        rule=["array-like", COUNT],
        doc="""int or sequence of int
        n[1], ..., n[L-1]: the number of units of each hidden layer; an int is one layer, and
        ``()`` is none, a linear model.""",
    )
    activation: ActivationName | Sequence[ActivationName] = param(
        default="relu",
        kw_only=False,
        rule=[Names(set(ACTIVATIONS)), "array-like"],
        doc="""str or sequence of str
        g of the hidden layers, one name for all or one for each: 'identity', 'logistic' (or
        'sigmoid'), 'tanh', 'relu', 'leaky_relu', 'elu', 'selu', 'gelu', 'silu', 'mish',
        'softplus'. See :mod:`skdnn.activations`.""",
    )


@group
class ChoiceOfLoss:
    """The loss, where there is more than one."""

    loss: LossName = param(
        default="squared_error",
        kw_only=False,
        rule=[Names(set(LOSSES))],
        doc="""str
        What is minimised: 'squared_error', |o - y|^2 / 2 (the paper's L2 loss, equation (26)),
        'absolute_error', |o - y|, 'huber' with `huber_delta`, 'quantile', the pinball loss of
        `quantile`, or half the deviance of 'poisson' (y >= 0), 'gamma' (y > 0) or 'tweedie' with
        `power`, whose output activation is exp. Several targets are summed.""",
    )


@group
class OfRegressor(Layers, ChoiceOfLoss, Common):
    """What a regressor has: besides, the target's units and what belongs to one loss."""

    scale_target: bool = param(
        default=True,
        plain=False,
        rule=["boolean"],
        doc="""bool
        Whether y is standardised inside (for 'poisson', 'gamma' and 'tweedie' divided by its
        mean), and predictions brought back.""",
    )
    quantile: float | Sequence[float] | NDArray[Any] = param(
        default=0.5,
        rule=[Interval(Real, 0, 1, closed="neither"), "array-like"],
        doc="""float or sequence of float
        The quantile that ``loss='quantile'`` estimates, in (0, 1), or k of them in ascending
        order, by one network for a single target: `predict` then returns shape (n, k), no row
        of which descends (Chernozhukov et al., 2010), and `score` the mean of their D2.""",
    )
    power: float = param(
        default=1.5,
        rule=[Interval(Real, 1, None, closed="left")],
        hint="Of power 0, the normal distribution, the deviance is loss='squared_error'.",
        doc="""float
        The p >= 1 of ``loss='tweedie'``, whose variance is the mean to the power p: 1 is Poisson,
        2 gamma, 3 the inverse Gaussian; y has to be >= 0, and > 0 for p >= 2.""",
    )
    huber_delta: float = param(
        default=1.0,
        rule=[POSITIVE],
        doc="""float
        Residuals beyond it count linearly under ``loss='huber'``; in units of y, or in standard
        deviations of y with `scale_target`.""",
    )
    column_rate: float | AutoName = param(
        default="auto",
        plain=0.0,
        off=0.0,
        rule=[AUTO, NOT_NEGATIVE],
        doc="""float or 'auto'
        With r > 0, 'adam' also learns a factor of each column of X, by which it multiplies the
        columns of W[1] that are that column's, at r times the rate. Holzmüller et al. (2024).""",
        auto=Auto(
            "'auto' is 0.1 for 'adam', 0 otherwise.",
            lambda given, n: 0.1 if given.solver == "adam" else 0.0,
        ),
    )


@group
class OfClassifier(Layers, Common):
    """What a classifier has: besides, weights and smoothing of classes, and calibration."""

    class_weight: Mapping[Any, float] | Literal["balanced"] | None = param(
        default=None,
        rule=[None, Names({"balanced"}), dict],
        doc="""dict, 'balanced' or None
        Multiplies the sample weights in the loss class by class; columns are scaled by the
        sample weights alone. 'balanced' is n_samples / (n_classes * weight of the class).
        Probabilities are then those of the weighted rows: the odds of a class whose weight is k
        times that of another are k times too high for the rows as they are.""",
    )
    label_smoothing: float | AutoName = param(
        default="auto",
        plain=0.0,
        rule=[AUTO, SHARE],
        doc="""float or 'auto'
        With s > 0, in [0, 1), the target of a class is 1 - s, where it is right, plus an equal
        share of s: in the loss that is minimised, judged by, and reported.""",
        auto=Auto(
            """'auto' smooths in training alone, as dropout is in training alone, if there are more
            than two classes and calibration follows: by 0.05, of which each class has its share
            of the (weighted) rows. What is held out is judged, and ``loss_`` is found, by the
            labels as they are, and calibration may make the network up to 3 times surer, where
            it otherwise never does. It is 0 if nothing calibrates, of two classes, in `partial_fit`
            and where a warm start goes on."""
        ),
    )
    calibrate: bool | AutoName = param(
        default="auto",
        plain=False,
        off=False,
        rule=["boolean", AUTO],
        doc="""bool or 'auto'
        Whether raw outputs z become f z + c after early stopping, by a change of W[L] and b[L]:
        f, at most 1 (3 where `label_smoothing` is in training alone), minimises the loss of the
        held-out rows (Guo et al., 2017), and c, one for each class, brings the mean probability
        of every class over the rows trained on back to its share among them.""",
        auto=Auto(
            "'auto' is True for 'sgd' and 'adam'.",
            lambda given, n: given.solver in STOCHASTIC,
        ),
    )


def plain_values(cls: type) -> dict[str, Any]:
    """Return the plain values of those parameters that the constructor of the class has."""
    accepted = inspect.signature(cls).parameters
    fields = dataclasses.fields(cls)
    return {f.name: f.metadata["plain"] for f in fields if f.name in accepted}


def resolve(
    estimator: Any, n: int, validates: bool = False, n_spare: int | None = None
) -> Settings:
    """Return the values of all parameters for n rows, with what every "auto" stands for.

    `batch_size`, `n_iter_no_change`, `initializer` and `label_smoothing` stay as they are: what
    they stand for depends on more. With `validates`, `fit` has been given rows to validate on; of
    the n rows `n_spare`, or all, may be held out.
    """
    fields = dataclasses.fields(estimator)
    values = {field.name: getattr(estimator, field.name) for field in fields}
    given = Settings(**values, validates=validates, n_spare=n if n_spare is None else n_spare)
    for field in fields:
        auto = field.metadata["auto"]
        if auto is not None and auto.value is not None and is_auto(values[field.name]):
            values[field.name] = auto.value(given, n)
    return Settings(**values)


def is_share(value: Any) -> bool:
    """Return whether `validation_fraction` is a share of the rows, not a choice of them."""
    return isinstance(value, Real)
