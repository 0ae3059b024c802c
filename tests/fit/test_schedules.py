"""Learning-rate schedules: what a fit records is the formula at the progress of the fit."""

import math

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from skdnn import DNNRegressor
from tests.cases import UNCONVERGED

pytestmark = UNCONVERGED

X, y = load_diabetes(return_X_y=True)
X, y = X[:50], (y[:50] - y.mean()) / y.std()
RATE, EPOCHS = 0.03, 24


def fitted(learning_rate="constant", **params):
    params = {"max_iter": EPOCHS, "learning_rate_init": RATE, "n_iter_no_change": np.inf, **params}
    model = DNNRegressor.plain(
        hidden_layer_sizes=(4,), learning_rate=learning_rate, random_state=0, **params
    )
    return model.fit(X, y)


def one_cycle(p):
    if p < 0.3:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * p / 0.3)) / 2
    return (1 + math.cos(math.pi * (p - 0.3) / 0.7)) / 2


FORMULAS = {
    "constant": lambda p: 1.0,
    "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2,
    "one_cycle": one_cycle,
    "coslog4": lambda p: (1 - math.cos(2 * math.pi * math.log2(1 + 15 * p))) / 2,
    "callable": lambda p: 1 / (1 + p),
}
SOLVERS = ["gd", "sgd", "adam"]


def named(name):
    return FORMULAS[name] if name == "callable" else name


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", FORMULAS)
def test_recorded_curve_is_the_formula(name, solver):
    curve = fitted(named(name), solver=solver).learning_rate_curve_
    formula = [RATE * FORMULAS[name](epoch / EPOCHS) for epoch in range(EPOCHS)]
    np.testing.assert_allclose(curve, formula, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", FORMULAS)
def test_warmup_multiplies_the_formula_by_a_line_from_zero(name):
    curve = fitted(named(name), warmup=0.25).learning_rate_curve_
    formula = [RATE * FORMULAS[name](e / EPOCHS) * min(1, e / 6) for e in range(EPOCHS)]
    np.testing.assert_allclose(curve, formula, rtol=1e-12, atol=1e-15)


def test_a_callable_is_asked_at_every_step_for_its_progress():
    asked = []

    def schedule(p):
        asked.append(p)
        return 1.0

    fitted(schedule, batch_size=20, max_iter=4)  # 50 rows are 3 steps an epoch
    np.testing.assert_allclose(asked, np.arange(12) / 12, atol=1e-15)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_recorded_rate_is_the_one_stepped_with(solver):
    # A schedule that is 0 after half of the fit leaves the weights where they are then.
    frozen = fitted(lambda p: float(p < 0.5), solver=solver, momentum=0.0, beta_1=0.0)
    half = fitted(lambda p: 1.0, solver=solver, momentum=0.0, beta_1=0.0, max_iter=EPOCHS // 2)
    assert all(map(np.array_equal, frozen.weights_, half.weights_))


@pytest.mark.parametrize("solver", SOLVERS)
def test_invscaling_divides_by_a_power_of_the_rows_seen(solver):
    curve = fitted("invscaling", solver=solver, power_t=0.7).learning_rate_curve_
    formula = RATE / (50 * np.arange(EPOCHS) + 1) ** 0.7
    np.testing.assert_allclose(curve, formula, rtol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_adaptive_divides_by_five_whenever_patience_ends(solver):
    # No epoch improves by 1e9: the first counts as an improvement, and every 2 end patience.
    model = fitted("adaptive", solver=solver, tol=1e9, n_iter_no_change=2, max_iter=50)
    rates = [RATE] * 3 + [RATE / 5**k for k in range(1, 8) for _ in range(2)]
    np.testing.assert_allclose(model.learning_rate_curve_, rates, rtol=1e-12)


def test_adaptive_stops_once_the_rate_is_a_millionth():
    model = fitted("adaptive", tol=1e9, n_iter_no_change=2, max_iter=50)
    assert model.learning_rate_curve_[-1] <= 1e-6 < model.learning_rate_curve_[-3]


def test_a_lucky_epoch_does_not_make_all_later_ones_look_stale():
    scores = [0.5, 0.9, 0.6, 0.6, 0.7, 0.8, 0.81, 0.82]  # patience ends after the fourth
    script = iter(scores)
    model = fitted(
        "adaptive",
        early_stopping=True,
        scoring=lambda *_: next(script),
        tol=0.0,
        n_iter_no_change=2,
        max_iter=len(scores),
    )
    np.testing.assert_allclose(model.learning_rate_curve_, [RATE] * 4 + [RATE / 5] * 4)


@pytest.mark.parametrize("epochs", [1, 3])
def test_rate_is_recorded_once_an_epoch(epochs):
    model = fitted("cosine", max_iter=epochs, batch_size=7)
    assert len(model.learning_rate_curve_) == model.n_iter_ == epochs
