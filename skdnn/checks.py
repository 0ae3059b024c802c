"""What the values of parameters have to be, beside each other too, or an error that says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import MISSING
from numbers import Integral, Real
from typing import Any

import numpy as np

from skdnn._sklearn import InvalidParameterError, validate_parameter_constraints
from skdnn.core.activations import ACTIVATIONS
from skdnn.declaration import Names, invalid, is_auto, nearest
from skdnn.parameters import STOCHASTIC, is_share

LARGEST = float(np.finfo(np.float64).max)
# lbfgs has no learning rate: of these its users' grids may name any, as with scikit-learn.
RATES_OF_OLD = ("constant", "invscaling", "adaptive")


def validate(estimator: Any) -> None:
    """Refuse a value that breaks its parameter's own rule, with what may have been meant.

    Those that the constructor of a subclass does not have are its bases' parameters too.
    """
    hints = {field.name: field.metadata["hint"] for field in dataclasses.fields(estimator)}
    for name, rule in estimator._parameter_constraints.items():
        value = getattr(estimator, name)
        if isinstance(value, Integral) and abs(int(value)) > LARGEST:
            raise invalid(estimator, name, f"a number of at most {LARGEST:.3g}")
        try:
            validate_parameter_constraints({name: rule}, {name: value}, type(estimator).__name__)
        except InvalidParameterError as error:
            names = [option for of in rule if isinstance(of, Names) for option in of.options]
            hint = hints.get(name) and f" {hints[name]}"
            error.args = (f"{error}{nearest(value, names)}{hint or ''}",)
            raise


def check(estimator: Any, validates: bool = False) -> None:
    """Refuse a parameter that is unfit given the others, with its name, the rule and its value.

    Each fulfils its own constraints. With `validates`, `fit` has been given rows to validate on.
    """
    hidden_sizes(estimator)
    activation_names(estimator)
    dropout_rates(estimator)
    quantiles(estimator)
    if not is_share(estimator.validation_fraction):  # it says which rows, where some are held out
        if validates:
            rule = "a number beside X_val, its substitute"
            raise invalid(estimator, "validation_fraction", rule)
        if not stops_early(estimator):
            rule = "a number where nothing stops early"
            raise invalid(estimator, "validation_fraction", rule)
    if estimator.warm_start and estimator.n_estimators > 1:
        raise invalid(estimator, "warm_start", "False for n_estimators > 1")
    if estimator.warm_start and estimator.time_limit is not None:
        raise invalid(estimator, "time_limit", "None for warm_start=True, which goes on from one")
    rate = getattr(estimator, "column_rate", 0.0)
    if estimator.solver not in ("adam", "lbfgs") and not is_auto(rate) and rate:
        rule = f"0.0 for solver={estimator.solver!r}, which cannot use it"
        raise invalid(estimator, "column_rate", rule)
    if estimator.solver == "lbfgs":
        _check_lbfgs(estimator)
        if validates:
            raise ValueError("X_val must be None for solver='lbfgs', which does not validate.")


def _check_lbfgs(estimator: Any) -> None:
    """Refuse what the solver cannot use."""
    fields = {field.name: field for field in dataclasses.fields(estimator)}
    for name, field in fields.items():
        value, off = getattr(estimator, name), field.metadata["off"]
        if off is MISSING or (field.metadata["auto"] is not None and is_auto(value)):
            continue
        if np.ndim(value) > 0 or value != off:
            rule = f"{off!r} for solver='lbfgs', which cannot use it"
            raise invalid(estimator, name, rule)
    rates = (*RATES_OF_OLD, fields["learning_rate"].default)
    if estimator.learning_rate not in rates:
        rule = f"one of {rates} for solver='lbfgs', which has no learning rate and ignores them"
        raise invalid(estimator, "learning_rate", rule)


def hidden_sizes(estimator: Any) -> tuple[int, ...]:
    """Return n[1], ..., n[L-1]."""
    sizes = _entries(estimator.hidden_layer_sizes)
    if sizes is None or not all(
        not isinstance(n, bool) and isinstance(n, Integral) and int(n) >= 1 for n in sizes
    ):
        rule = "an int >= 1 or a sequence of ints >= 1"
        raise invalid(estimator, "hidden_layer_sizes", rule)
    return tuple(int(n) for n in sizes)


def activation_names(estimator: Any) -> tuple[str, ...]:
    """Return the name of every hidden layer's activation."""
    names = _of_each_layer(
        estimator,
        "activation",
        lambda name: isinstance(name, str) and name in ACTIVATIONS,
        f"one of {sorted(ACTIVATIONS)}, or a sequence of them",
        ACTIVATIONS,
    )
    return tuple(map(str, names))


def dropout_rates(estimator: Any) -> tuple[float, ...]:
    """Return the share of every hidden layer's units that a training step leaves out."""
    rates = _of_each_layer(
        estimator,
        "dropout",
        lambda rate: isinstance(rate, Real) and 0 <= float(rate) < 1,  # which NaN is not
        "a rate in [0, 1), or a sequence of rates",
    )
    return tuple(map(float, rates))


def quantiles(estimator: Any) -> float | tuple[float, ...]:
    """Return the quantile to estimate, or several; 1/2 for an estimator that has none."""
    value = getattr(estimator, "quantile", 0.5)
    if isinstance(value, Real):
        return float(value)
    levels = _entries(value) or []
    ascend = all(isinstance(q, Real) for q in levels) and np.all(np.diff([0.0, *levels, 1.0]) > 0)
    if len(levels) < 2 or not ascend:
        rule = "a number in (0, 1), or two or more of them in ascending order"
        raise invalid(estimator, "quantile", rule)
    return tuple(map(float, levels))


def _of_each_layer(
    estimator: Any,
    name: str,
    is_fit: Callable[[Any], bool],
    rule: str,
    known: Iterable[str] = (),
) -> list[Any]:
    """Return the parameter's value for each hidden layer; it may be one for all."""
    n_hidden = len(hidden_sizes(estimator))
    value = getattr(estimator, name)
    values = [value] * n_hidden if is_fit(value) else _entries(value)
    if values is None or len(values) != n_hidden or not all(map(is_fit, values)):
        rule += f" with one for each of the {n_hidden} hidden layers"
        unfit = next((one for one in values or () if not is_fit(one)), None)
        raise invalid(estimator, name, rule, nearest(unfit, known))
    return values


def _entries(values: Any) -> list[Any] | None:
    """Return the entries of a sequence, or one number as one; None if it is neither."""
    if isinstance(values, Integral):
        return [values]
    try:
        return None if isinstance(values, str) else list(values)
    except TypeError:  # a number, or an array without dimensions
        return None


def stops_early(estimator: Any) -> bool:
    """Return whether a fit stops early if there are rows to validate on."""
    if is_auto(estimator.early_stopping):
        return estimator.solver in STOCHASTIC
    return bool(estimator.early_stopping and estimator.solver != "lbfgs")
