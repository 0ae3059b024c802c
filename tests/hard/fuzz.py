"""A differential fuzzer: each kind of case draws an estimator and data, and knows what is true.

A case is its seed and number: it can be made again, alone. What it returns says whether it was
fitted, or refused by an error of ours, or was fitted where the last bit of a weight moves answers
as much as what was changed; whatever else happens is a fault.
"""

import copy
import gc
import pickle
import re
import traceback
import warnings
import weakref
from collections import Counter
from functools import partial

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.base import clone

from skdnn import DNNClassifier, DNNRegressor
from skdnn.fit.blocks import pool_rows
from skdnn.verify import check_gradients
from tests.cases import contents_of, differing, epoch, raising
from tests.hard.estimators import (
    OPTIONS,
    POSITIVE,
    Fault,
    answers,
    check_curves,
    check_probabilities,
    check_warnings,
    draw_params,
    draw_problem,
    draw_weights,
    in_another_container,
    insist,
)
from tests.hard.objective import objective_of
from tests.hard.tables import (
    Draw,
    Table,
    draw_array,
    draw_container,
    draw_table,
    is_boolean,
)

FITTED, REFUSED, MAGNIFIED = "fitted", "refused", "rounding magnified"
NAMES = sorted({*OPTIONS, *DNNRegressor().get_params(), *DNNClassifier().get_params()})
OF_DATA = ["X", "y", "sample_weight", "X_val", "y_val", "classes", "learning_rate_init", "groups"]


def is_ours(error, names=(*NAMES, *OF_DATA)):
    """Whether an error is a ValueError or TypeError that names what is unfit."""
    words = set(re.findall(r"\w+", str(error)))
    return isinstance(error, ValueError | TypeError) and bool(words & set(names))


def attempt(function, model=None):
    """Return what a function does, or None if it is refused by an error of ours.

    A model is then as it was; but where the weights of `partial_fit` diverge, the optimiser
    starts anew, and the error says so.
    """
    before = None if model is None else contents_of(model.set_callbacks())
    try:
        return function()
    except (ValueError, TypeError) as error:
        if not is_ours(error):
            raise
        if model is not None:
            changed = differing(contents_of(model.set_callbacks()), before)
            says = any("starts anew" in note for note in getattr(error, "__notes__", []))
            insist(changed <= ({"_states"} if says else set()), "a refused call changed", changed)
        return None


def distance(a, b):
    """Return how far answers are from others, in units of the largest of those."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    finite = np.isfinite(b)
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), finite):
        return np.inf
    with np.errstate(all="ignore"):
        far = np.max(np.abs(a[finite] - b[finite]), initial=0.0)
        return far and far / np.max(np.abs(b[finite]))


def close(a, b, tolerance):
    """Whether answers agree, to a tolerance times the largest of them."""
    return distance(a, b) <= tolerance


# The same values in any container


DECLARE = ("category", "shuffled category", "polars categorical", "polars enum")


def containers(draw):
    """The same values in any container give the same model and answers."""
    n = draw.one([12, 40, 70, 130])
    table = draw_table(draw, n)
    problem = draw_problem(draw, n)
    if table.categories and draw.chance(0.3):  # by their numbers, as arrays of objects need
        problem.params["categorical_features"] = numbers_of(table)
    X, name, is_sparse = draw_container(draw, table)
    if name == "objects":
        problem.params["categorical_features"] = numbers_of(table)
    y, y_name = in_another_container(draw, problem.y)
    w = draw_weights(draw, n)
    stage = draw.one(["fit", "fit", "partial_fit", "X_val", "warm start"])
    if name in DECLARE and stage == "partial_fit":
        stage = "fit"  # there the levels are all that the type declares
    plain = table.plain()
    one = attempt(lambda: staged(problem, stage, plain, problem.y, w))
    other = attempt(lambda: staged(problem, stage, X, y, w))
    told = f"{name}, y of {y_name}, {stage}"
    insist((one is None) == (other is None), told, "only one was refused", one, other)
    if one is None:
        return REFUSED
    asked, as_name, _ = draw_container(draw, table)
    if one.categories_ != other.categories_:
        raise Fault(f"{told}: categories {one.categories_} and {other.categories_}")

    def fit(w):
        return staged(problem, stage, plain, problem.y, w)

    def moved():  # in single precision, in which most are fitted
        weights = np.ones(n) if w is None else w
        return moved_by_rounding(draw, fit, weights, plain, expected, np.float32)

    expected = answers(one, plain)
    outcome = agree_to(is_sparse, plain, expected, answers(other, X), told, moved)
    if same_names(plain, asked):
        agree_to(issparse(asked), plain, expected, answers(one, asked), f"asked by {as_name}")
    return outcome


SHAPES = [(1, 1), (1, 40), (300, 1), (20, 5000), (5000, 500), (700, 100)]


def shapes(draw):
    """So they do where there is one value alone, or many rows or columns."""
    n, d = draw.one(SHAPES)
    X = draw.rng.normal(size=(n, d)) * (draw.rng.random((n, d)) < draw.one([0.1, 1.0]))
    X = X.astype(draw.one([np.float64, np.float32]))
    problem = draw_problem(draw, n, max_iter=draw.between(1, 2), batch_size="auto")
    is_in_blocks = n > pool_rows(d)  # which sparse rows never are
    other, name, is_sparse = draw_array(draw, X, sparse=not is_in_blocks)
    w = draw_weights(draw, n)
    stage = draw.one(["fit", "fit", "partial_fit", "X_val", "warm start"])
    if is_in_blocks and name == "memmap" and stage == "partial_fit":
        stage = "fit"  # there it goes lot by lot
    models = [attempt(lambda X=X: staged(problem, stage, X, problem.y, w)) for X in (X, other)]
    told = f"{n} x {d}, {name}, {stage}"
    insist((models[0] is None) == (models[1] is None), told, "only one was refused", models)
    if models[0] is None:
        return REFUSED
    got = answers(models[1], X)
    agree_to(is_sparse, X, answers(models[0], X), got, told)
    insist(close(answers(models[1], other), got, 1e-3), told, "asked about")
    return FITTED


def numbers_of(table):
    return [j for j, name in enumerate(table.columns) if name in table.categories]


def same_names(one, other):
    return hasattr(one, "columns") == hasattr(other, "columns")


def agree_to(is_sparse, X, expected, got, told, moved=lambda: 0.0):
    """Compare answers, of which those by sparse rows may be as far as rounding has `moved` some."""
    if not is_sparse:
        insist(np.array_equal(expected, got), told, "other answers", expected[:3], got[:3])
        return FITTED
    # Columns 1,000 deviations away from 0, scaled in the sparse form, lose that many digits; and
    # a few steps multiply what is lost.
    outcome, tolerance = FITTED, 1e-3 if X.dtype == np.float64 else 1.0
    if distance(got, expected) > tolerance:
        outcome, tolerance = MAGNIFIED, 4.0 * moved()
    insist(close(got, expected, tolerance), told, "other answers", expected, got)
    return outcome


def staged(problem, stage, X, y, w):
    """Return the model after some calls."""
    model = problem.make()
    if stage == "partial_fit" and hasattr(model, "partial_fit"):
        model.partial_fit(X, y, w, **problem.classes)
        return model.partial_fit(X, y, w)
    if stage == "warm start":
        model.set_params(warm_start=True).fit(X, y, w)
        return model.fit(X, y)
    if stage == "X_val" and model.solver != "lbfgs":
        return model.fit(X, y, w, X_val=X, y_val=y, sample_weight_val=w)
    return model.fit(X, y, w)


# What weights, orders and units change


def descent(draw, n, **fixed):
    """Return a smooth problem under a solver that no order of rows changes."""
    problem = draw_problem(draw, n, smooth=True, solver=draw.one(["gd", "lbfgs"]), **fixed)
    # A rate by the rows seen, invscaling, knows rows and no weights.
    drawn = {
        "learning_rate",
        "early_stopping",
        "dropout",
        "n_estimators",
        "time_limit",
        "precision",
        "max_iter",
    }
    for name in drawn & set(problem.params):
        del problem.params[name]
    problem.params |= {
        "max_iter": draw.between(1, 3),
        "scale_inputs": draw.one(["standard", "clipped", "robust", None]),
    }
    return problem


def agree(draw, fit, w, other, X, X_other, told):
    """Compare the fit with weights w with another, of which the mathematics says the same."""
    one, other = attempt(lambda: fit(w)), attempt(other)
    insist((one is None) == (other is None), told, "only one was refused", one, other)
    if one is None:
        return REFUSED
    expected, got = answers(one, X), answers(other, X_other)
    outcome, tolerance = FITTED, 1e-5
    if distance(got, expected) > tolerance:
        outcome, tolerance = MAGNIFIED, 4.0 * moved_by_rounding(draw, fit, w, X, expected)
    insist(close(got, expected, tolerance), told, "changes answers", expected, got)
    insist(np.isclose(one.loss_, other.loss_, rtol=100 * tolerance), told, "changes loss_")
    return outcome


def moved_by_rounding(draw, fit, w, X, expected, of=np.float64):
    """Return how far answers move, at most, with the last digits of the weights of a fit."""
    moved = 0.0
    for k in range(24):
        last = np.finfo(of).eps * 4.0 ** (k % 4) * draw.rng.normal(size=len(w))
        moved = max(moved, distance(answers(fit(w * (1.0 + last)), X), expected))
    return moved


def counted_rows(draw):
    """A weight of k counts as k rows."""
    n = draw.between(8, 32)  # more levels would be told by means over folds of the rows
    table = draw_table(draw, n, dtype=np.float64)
    problem = descent(draw, n)
    k = draw.rng.integers(0, 4, n)
    k[: min(n, 6)] = 1
    rows, w, X = np.repeat(np.arange(n), k), k.astype(float), table.plain()
    told = "a weight of k in the place of k rows"

    def fit(w):
        return problem.make().fit(X, problem.y, w)

    def other():
        return problem.make().fit(table.take(rows).plain(), problem.y[rows])

    return agree(draw, fit, w, other, X, X, told)


def scaled_weights(draw):
    """Weights in another unit change nothing."""
    n = draw.one([20, 100])
    table = draw_table(draw, n)
    problem = draw_problem(draw, n, alpha=0.0)
    w = draw.rng.random(n)
    one = attempt(lambda: problem.make().fit(table.plain(), problem.y, w))
    k = draw.one([2.0, 2.0**-300, 2.0**600])
    other = attempt(lambda: problem.make().fit(table.plain(), problem.y, w * k))
    insist((one is None) == (other is None), "weights times", k, "only one was refused")
    if one is None:
        return REFUSED
    expected, got = answers(one, table.plain()), answers(other, table.plain())
    insist(np.array_equal(expected, got), "weights times", k, "change answers")
    return FITTED


def permuted_rows(draw):
    """The order of rows changes nothing under a full batch."""
    n = draw.between(8, 32)  # more levels would be told by means over folds of the rows
    table = draw_table(draw, n, dtype=np.float64)
    problem = descent(draw, n)
    order, X = draw.rng.permutation(n), table.plain()

    def fit(w):
        return problem.make().fit(X, problem.y, w)

    def other():
        return problem.make().fit(table.take(order).plain(), problem.y[order])

    return agree(draw, fit, np.ones(n), other, X, X, "another order of rows")


def permuted_columns(draw):
    """The order of columns changes nothing for a linear model, whose first weights are 0."""
    n = draw.between(8, 50)
    table = draw_table(draw, n, dtype=np.float64)
    problem = descent(draw, n, hidden_layer_sizes=(), activation="relu", initializer="spread")
    order = draw.rng.permutation(len(table.columns))
    X, turned = table.plain(), table.take(slice(None), order).plain()

    def fit(w):
        return problem.make().fit(X, problem.y, w)

    def other():
        return problem.make().fit(turned, problem.y)

    return agree(draw, fit, np.ones(n), other, X, turned, "another order of columns")


def units_of_x(draw):
    """A power of 2 as the unit of a scaled column changes no bit of the answers."""
    n = draw.one([20, 100, 200])
    table = draw_table(draw, n, categories=False, dtype=np.float64)
    scaling = draw.one(["standard", "clipped", "robust", "piecewise"])
    problem = draw_problem(draw, n, scale_inputs=scaling)
    k = 2.0 ** draw.rng.integers(-900, 900, len(table.columns))
    kept = [len(np.unique(x[~np.isnan(x)])) > 1 for x in table.columns.values()]
    k = np.where(kept, k, 1.0)
    X = table.numbers()
    one = attempt(lambda: problem.make().fit(X, problem.y))
    other = attempt(lambda: problem.make().fit(X * k, problem.y))
    insist((one is None) == (other is None), "other units of X", k, "only one was refused")
    if one is None:
        return REFUSED
    # Statistics take another way where squares overflow, or where they come near it.
    tolerance = 0.0 if np.all(np.abs(np.log2(k)) < 200) else 1e-3
    insist(close(answers(other, X * k), answers(one, X), tolerance), "units of X", scaling, k)
    return FITTED


def units_of_y(draw):
    """Predictions have the unit of y."""
    n = draw.one([20, 100])
    table = draw_table(draw, n, dtype=np.float64)
    problem = draw_problem(draw, n, kinds=["numbers", "several", "positive"], scale_target=True)
    k, X = 2.0 ** draw.between(-300, 300), table.plain()
    if problem.params["loss"] in ("huber", "tweedie", "poisson", "gamma"):
        problem.params["alpha"] = 0.0
    one = attempt(lambda: problem.make().fit(X, problem.y))
    other = attempt(lambda: problem.make().fit(X, problem.y * k))
    if one is None or other is None:
        return REFUSED  # y times k may be beyond float32
    insist(close(answers(other, X) / k, answers(one, X), 1e-3), "units of y", k)
    return FITTED


# What is true of any fitted model


def cost(draw):
    """`loss_` is the objective at the weights, by the formulas of the paper."""
    n = draw.one([20, 70])
    table = draw_table(draw, n, dtype=np.float64)
    problem = draw_problem(draw, n)
    w = draw_weights(draw, n)
    model = attempt(lambda: problem.make().fit(table.plain(), problem.y, w))
    if model is None:
        return REFUSED
    insist(np.isfinite(model.loss_), "loss_ is", model.loss_)
    check_curves(model)
    insist(len(model.loss_curve_) == model.n_iter_ or problem.several, "loss_curve_")
    with np.errstate(all="ignore"):  # the paper's formulas are not guarded against overflow
        expected = objective_of(model, table.plain(), problem.y, w)
    if expected is not None and np.isfinite(expected):
        insist(np.isclose(model.loss_, expected, rtol=1e-6), "loss_", model.loss_, "is", expected)
    return FITTED


def probabilities(draw):
    """Probabilities sum to one and agree with what is predicted, in any state."""
    n = draw.one([5, 20, 100])
    table = draw_table(draw, n)
    problem = draw_problem(draw, n, kinds=["two", "many", "sets"])
    stage = draw.one(["fit", "partial_fit", "X_val", "warm start"])
    model = attempt(lambda: staged(problem, stage, table.plain(), problem.y, None))
    if model is None:
        return REFUSED
    check_probabilities(model, table.plain())
    insist(0.0 <= model.score(table.plain(), problem.y) <= 1.0, "accuracy")
    return FITTED


def gradient(draw):
    """The gradient that training uses is that by complex steps."""
    n = draw.between(6, 15)
    table = draw_table(draw, n, dtype=np.float64)
    problem = draw_problem(draw, n, n_estimators=1)
    problem.params.pop("time_limit", None)
    w = draw_weights(draw, n)
    model = attempt(lambda: problem.make(max_iter=1).fit(table.plain(), problem.y, w))
    if model is None:
        return REFUSED
    check = check_gradients(model, table.plain(), problem.y, "complex-step", sample_weight=w)
    least = max(np.max(a.absolute) for a in check.arrays)
    if not np.isfinite(check.max_relative_error) and problem.params.get("loss") in POSITIVE:
        return FITTED  # the complex step overflows: exp of what one step has thrown far out
    insist(check.max_relative_error < 1e-8 or least < 1e-12, check)
    return FITTED


def missing(draw):
    """What is missing is answered, where fit saw it and where not; rows are asked one by one."""
    n = draw.one([30, 100])
    table = draw_table(draw, n)
    problem = draw_problem(draw, n)
    model = attempt(lambda: problem.make().fit(table.plain(), problem.y))
    if model is None:
        return REFUSED
    gone = {name: x.copy() for name, x in table.columns.items()}
    for name, x in gone.items():
        x[draw.rng.random(n) < 0.3] = None if name in table.categories else np.nan
    X = Table(gone, table.dtype, table.categories).plain()
    whole = answers(model, X)
    bounded = problem.params.get("loss") not in POSITIVE  # which take exp of what may be far out
    insist(np.isfinite(whole).all() or not bounded, "an answer is not finite")
    i = draw.between(0, n - 1)
    row = X.iloc[[i]] if table.categories else X[[i]]
    single = 1e-4 if table.dtype == np.float32 else 1e-9
    insist(close(answers(model, row)[0], whole[i], single), "a row alone", whole[i])
    unknown = {n: x.copy() for n, x in table.columns.items()}
    for name in table.categories:
        if not is_boolean(unknown[name]):  # of which there is no third
            unknown[name][:] = "not seen before"
    X = Table(unknown, table.dtype, table.categories).plain()
    insist(np.isfinite(answers(model, X)).all() or not bounded, "levels that are not known")
    return FITTED


def extremes(draw):
    """Data of any scale give finite answers, or an error that says what is unfit."""
    n = draw.one([1, 2, 3, 8, 70])
    table = draw_table(draw, n, categories=False)
    far = 30 if table.dtype == np.float32 else 300
    for x in table.columns.values():
        with np.errstate(all="ignore"):
            x *= 10.0 ** draw.rng.uniform(-far, far)
        x[~np.isfinite(x) & ~np.isnan(x)] = 1.0
    problem = draw_problem(draw, n)
    if problem.is_regressor:
        with np.errstate(all="ignore"):
            y = problem.y * 10.0 ** draw.rng.uniform(-300, 300)
        if np.isfinite(y).all() and (y > 0).all() == (problem.y > 0).all():
            problem.y = y
    X = table.numbers()
    stage = draw.one(["fit", "fit", "partial_fit", "warm start"])
    w = draw_weights(draw, n)
    model = attempt(lambda: staged(problem, stage, X, problem.y, w))
    if model is None:
        return REFUSED
    with np.errstate(all="ignore"):
        far_out = np.clip(X * draw.one([-1.0, 1e3, 1e30]), *np.array([-1, 1]) * 10.0**far)
    insist(np.isfinite(answers(model, X)).all() or problem.is_regressor, "not finite")
    is_bounded = model.scale_inputs not in (None, "standard")
    if is_bounded and not problem.is_regressor:  # exp, and what is not clipped, have no bound
        insist(np.isfinite(answers(model, far_out.astype(X.dtype))).all(), "far out, not finite")
    return FITTED


# Calls that go wrong, and sequences of calls

NONSENSE = [
    object(), "nonsense", -1, 0, 2, 1.5, np.nan, np.inf, -np.inf, [], {}, (), 1j, None, True,
    b"bytes", "auto", np.array([]), np.array([[1]]), [1, "a"], {1: 2}, lambda: None, 10**400,
    np.float32(0.5), np.int64(3), type, (0.1, 0.9), (0,), (3, -1), range(3),
]  # fmt: skip


def nonsense(draw):
    """A parameter that makes no sense is refused by its name, before any work."""
    n = draw.one([10, 70])
    problem = draw_problem(draw, n)
    X = draw.rng.normal(size=(n, 3))
    name, value = draw.one(problem.make().get_params()), draw.one(NONSENSE)
    begun = raising(Exception("work was done"), lambda context: True)
    model = problem.make(max_iter=1).set_callbacks(begun)
    before = contents_of(model.set_params(**{name: value}))
    try:
        model.fit(X, problem.y)
    except (ValueError, TypeError) as error:
        insist(is_ours(error), name, "=", repr(value), "gave", error)
        diverged = "learning_rate_init" in str(error) and name != "learning_rate_init"
        may_be_late = diverged or callable(value)  # which only a call shows to be unfit
        insist(may_be_late or not begun.events, name, "=", repr(value), "was refused late")
        insist(not differing(contents_of(model), before), "a refused fit changed the estimator")
        return REFUSED
    except Exception as error:
        if begun.events:
            return FITTED
        raise Fault(f"{name}={value!r} gave {type(error).__name__}: {error}") from error
    return FITTED


def bad_rows(draw, X, y, w):
    """Return rows, targets and weights of which one part is unfit, and what it is called."""
    n = len(X)
    with_text = X.astype(object)
    with_text[0, 0] = "text"
    infinite = X.copy()
    infinite[draw.between(0, n - 1), 0] = np.inf
    negative = np.ones(n)
    negative[-1] = -1.0
    no_number = np.ones(n)
    no_number[0] = np.nan
    bad_X = [
        infinite, with_text, X[:, 0], X[None], X[:0], X[:, :0], X[:-1], X * 1j, None, "X", 3.0, {},
        X.astype("M8[D]"), X.astype("m8[s]"), X.astype(str), [[1.0], [2.0, 3.0]], [[]], set(),
        csr_array(X)[:-1], csr_array(infinite), csr_array(X * 1j),
        np.ma.masked_array(X, X > 9)[:-1], iter([1, 2]), X[:, [[0]]], np.full(X.shape, 10**400),
    ]  # fmt: skip
    bad_y = [None, y[:-1], y[:0], np.full(n, np.nan), np.full(n, np.inf), np.full(n, None), "y", 3,
             np.full((n, 2, 2), 1.0), np.full(n, 1j), {}, [[]],
             np.full(n, 10**400)]  # fmt: skip
    bad_w = [negative, no_number, np.zeros(n), np.ones(n + 1), np.ones((n, 2)), "w", np.inf,
             np.full(n, "1"), np.full(n, np.inf), np.full(n, 1j), [[]], {}, np.full(n, None),
             -1, 0, np.nan, 10**400, np.full(n, 10**400), 1j]  # fmt: skip
    name = draw.one(["X", "y", "sample_weight"])
    given = {"X": X, "y": y, "sample_weight": w}
    given[name] = draw.one({"X": bad_X, "y": bad_y, "sample_weight": bad_w}[name])
    return given, name


NOT_IN_PART = ("time_limit", "early_stopping", "n_estimators")


def bad_data(draw):
    """Data that cannot be meant are refused by their name, before any work."""
    n = draw.one([10, 70])
    table = draw_table(draw, n, categories=False, missing=False, dtype=np.float64)
    problem = draw_problem(draw, n)
    given, name = bad_rows(draw, table.numbers(), problem.y, None)
    problem.params = {k: v for k, v in problem.params.items() if k not in NOT_IN_PART}
    model = problem.make(max_iter=1)
    is_fitted = draw.chance(0.5)
    if is_fitted and attempt(lambda: model.fit(table.numbers(), problem.y)) is None:
        return REFUSED
    begun = raising(Exception("work was done"), lambda context: True)
    model.set_callbacks(begun)
    method = "partial_fit" if draw.chance(0.3) and hasattr(model, "partial_fit") else "fit"
    more = problem.classes if method == "partial_fit" else {}
    before = contents_of(model)
    try:
        getattr(model, method)(**given, **more)
    except (ValueError, TypeError) as error:
        shown = f"{name} of {type(given[name]).__name__} {given[name]!r:.60} gave {error}"
        insist(is_ours(error, [name, "X", "y"]), shown)
        insist(not begun.events, shown, "after work had begun")
        insist(not differing(contents_of(model), before), shown, "and changed the estimator")
        return REFUSED
    raise Fault(f"{method} took {name} = {given[name]!r:.200}")


def sequences(draw):
    """Any sequence of calls ends twice the same; what is refused changes nothing."""
    seed = draw.between(0, 2**31 - 1)
    one, again = (run(Draw(seed)) for _ in range(2))
    changed = differing(contents_of(one), contents_of(again))
    insist(not changed, "two runs of one sequence differ in", changed)
    return FITTED if hasattr(one, "_model") else REFUSED


def run(draw):
    """Return an estimator after a random sequence of calls."""
    n = draw.one([6, 20, 70])
    table = draw_table(draw, n)
    problem = draw_problem(draw, n)
    model = problem.make()
    X, y = table.plain(), problem.y
    rows = np.sort(draw.rng.choice(n, max(n // 2, 1), replace=False))
    steps = [fit_it, fit_it, fit_part, fit_part, set_one, pickled, copied, cloned, ask, interrupt,
             fail, refuse, write]  # fmt: skip
    for _ in range(draw.between(2, 7)):
        step = draw.one(steps)
        call = partial(step, draw, model, problem, X, y, table.take(rows), rows)
        changed = attempt(call, model)
        model = model if changed is None else changed
        model.set_callbacks()
        if hasattr(model, "_model"):
            check_curves(model)
    return model


def fit_it(draw, model, problem, X, y, some, rows):
    w = draw_weights(draw, len(y))
    if draw.chance(0.3):
        return model.fit(X, y, w, X_val=some.plain(), y_val=y[rows])
    return model.fit(X, y, w)


def fit_part(draw, model, problem, X, y, some, rows):
    if not hasattr(model, "partial_fit"):
        return model
    if draw.chance(0.5):
        X, y = some.plain(), y[rows]
    return model.partial_fit(X, y, draw_weights(draw, len(y)), **problem.classes)


def set_one(draw, model, problem, X, y, some, rows):
    params = draw_params(draw, problem.Estimator)
    name = draw.one([*params, "warm_start"])
    return model.set_params(**{name: params.get(name, True)})


def pickled(draw, model, problem, X, y, some, rows):
    again = pickle.loads(pickle.dumps(model))
    changed = differing(contents_of(again), contents_of(model))
    insist(not changed, "a pickle has another", changed)
    return again


def copied(draw, model, problem, X, y, some, rows):
    again = draw.one([copy.copy, copy.deepcopy])(model)
    before = contents_of(model)
    if hasattr(again, "partial_fit") and hasattr(again, "_model"):
        attempt(lambda: again.partial_fit(X, y))
    insist(not differing(contents_of(model), before), "a copy's partial_fit changed the original")
    return model


def cloned(draw, model, problem, X, y, some, rows):
    fresh = attempt(lambda: clone(model).fit(X, y))
    anew = attempt(lambda: problem.Estimator(**model.get_params()).fit(X, y))
    insist((fresh is None) == (anew is None), "a clone is another estimator")
    if fresh is not None:
        changed = differing(contents_of(fresh), contents_of(anew))
        insist(not changed, "a clone fits another", changed)
    return model


def ask(draw, model, problem, X, y, some, rows):
    if not hasattr(model, "_model"):
        return model
    before = contents_of(model)
    whole = answers(model, X)
    part = answers(model, some.plain())
    model.score(X, y)
    insist(not differing(contents_of(model), before), "to ask changed the model")
    insist(np.array_equal(answers(model, X), whole), "to ask twice gave two answers")
    insist(np.allclose(part, whole[rows], rtol=1e-3, atol=1e-3 * np.abs(whole).max()), "parts")
    return model


def interrupt(draw, model, problem, X, y, some, rows):
    at = epoch(draw.between(1, 3), draw.one(["epoch", "search epoch", "refit epoch"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.set_callbacks(raising(KeyboardInterrupt(), at)).fit(X, y)


class Failure(Exception):
    """What a callback raises."""


def fail(draw, model, problem, X, y, some, rows):
    model.set_callbacks(raising(Failure(), epoch(draw.between(1, 3))))
    before = contents_of(model)
    try:
        return model.fit(X, y)
    except Failure:
        insist(not differing(contents_of(model), before), "a callback's error changed the model")
        return model


def refuse(draw, model, problem, X, y, some, rows):
    if not hasattr(X, "columns"):
        given, _ = bad_rows(draw, X, y, None)
        return model.fit(**given)
    return model.fit(X.assign(a=np.datetime64("2020-01-01")), y)


def write(draw, model, problem, X, y, some, rows):
    if not hasattr(model, "_model") or model.recipe_.n_estimators > 1:
        return model
    W = [draw.rng.normal(size=w.shape) for w in model.coefs_]
    model.coefs_ = W
    insist(all(np.allclose(a, b) for a, b in zip(W, model.coefs_, strict=True)), "coefs_")
    return model


def alive(draw):
    """Nothing of a fit is alive when its last name is gone, without any collector."""
    n = draw.one([20, 100])
    table = draw_table(draw, n)
    problem = draw_problem(draw, n)
    gc.disable()
    try:
        model = attempt(lambda: problem.make().fit(table.plain(), problem.y))
        if model is None:
            return REFUSED
        answers(model, table.plain())
        left = [weakref.ref(part) for part in (model, model._model, *model._states)]
        del model
        insist(not any(ref() for ref in left), "alive without a name")
    finally:
        gc.enable()
    return FITTED


KINDS = {
    containers: 10, shapes: 1, counted_rows: 3, scaled_weights: 2, permuted_rows: 2,
    permuted_columns: 2, units_of_x: 3, units_of_y: 2, cost: 4, probabilities: 3, gradient: 2,
    missing: 4, extremes: 5, nonsense: 6, bad_data: 6, sequences: 6, alive: 1,
}  # fmt: skip


def case(seed, number, kind=None):
    """Run a case; return its kind and what became of it, or raise what is wrong with it."""
    draw = Draw(seed, number)
    kinds = list(KINDS)
    shares = np.array([*KINDS.values()]) / sum(KINDS.values())
    drawn = kinds[draw.rng.choice(len(kinds), p=shares)]
    kind = drawn if kind is None else next(k for k in kinds if k.__name__ == kind)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = kind(draw)
    check_warnings(caught)
    return kind.__name__, outcome


def search(seed, numbers, ends=lambda: False):
    """Run cases until it `ends`; return how many ended how, and the report of every fault."""
    counts: Counter = Counter()
    faults = []
    for number in numbers:
        if ends():
            break
        try:
            counts["fuzz: {}, {}".format(*case(seed, number))] += 1
        except Exception as error:
            last = "".join(traceback.format_exception(error)[-3:])
            faults.append(f"fuzz: python -m tests.hard --case {number} --seed {seed}\n{last}")
    return counts, faults
