"""What decays towards 0 in an optimiser ends at 0, not among the subnormal numbers."""

import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from skdnn import DNNRegressor
from skdnn.core.optimizers import PERIOD, Adam, GradientDescent, Momentum, drop_small
from skdnn.core.schedules import SCHEDULES
from skdnn.fit.objective import Objective
from skdnn.fit.rows import Batches, Rows
from skdnn.fit.training import Plan, State, _step
from skdnn.losses import SquaredError
from skdnn.network import Network, Parameters

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
OPTIMIZERS = {
    "gradient descent": GradientDescent,
    "momentum": partial(Momentum, nesterov=False),
    "Nesterov": Momentum,
    "little momentum": partial(Momentum, momentum=0.5),
    "Adam": Adam,
    "Adam of the defaults": partial(Adam, beta_2=0.95),
    "Adam of short memory": partial(Adam, beta_1=0.5, beta_2=0.5),
}
MAKE = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
N = 300


def n_subnormal(x):
    return np.count_nonzero((x != 0.0) & (np.abs(x) < np.finfo(x.dtype).tiny))


def steps(make, dtype, gradient_of, n_steps, rate=0.01):
    """Yield the parameters and the optimiser every PERIOD steps."""
    rng = np.random.default_rng(0)
    optimizer = make(N, dtype)
    theta = rng.normal(size=N).astype(dtype)
    for t in range(1, n_steps + 1):
        optimizer.step(theta, gradient_of(theta, t, rng).astype(dtype), rate)
        if t % PERIOD == 0:
            yield theta, optimizer


def of_the_l2_term(theta, t, rng):
    """The gradient of weights of a unit that is never active."""
    return 1e-4 * theta


def of_steep_l2_term(theta, t, rng):
    """The same, where it decays as fast as momentum lets it."""
    return 5.0 * theta


def that_ends(theta, t, rng):
    """The gradient of a bias of a unit that is active no more."""
    return rng.normal(size=N) if t < 20 else np.zeros(N)


def that_vanishes(theta, t, rng):
    """Noise that gets smaller without end."""
    return rng.normal(size=N) * 0.99**t


@MAKE
@DTYPES
@pytest.mark.parametrize("gradient_of", [of_the_l2_term, of_steep_l2_term, that_ends])
def test_no_number_decays_into_the_subnormals(gradient_of, dtype, make):
    for theta, optimizer in steps(make, dtype, gradient_of, n_steps=12_000):
        assert n_subnormal(theta) == n_subnormal(optimizer.state) == 0, optimizer.t


@pytest.mark.parametrize("beta_2", [0.5, 0.95, 0.999])
@DTYPES
def test_squares_of_a_vanishing_gradient_are_not_subnormal(dtype, beta_2):
    make = partial(Adam, beta_2=beta_2)
    for _, optimizer in steps(make, dtype, that_vanishes, n_steps=12_000):
        assert n_subnormal(optimizer.state[1]) == 0


@DTYPES
def test_a_gradient_that_passes_minus_the_constant_of_adam_leaves_none(dtype):
    def passing(theta, t, rng):
        return np.full(N, -optimizer._c * (1.5 - t / 4000.0))

    optimizer = Adam(N, dtype)
    for _, optimizer in steps(partial(Adam, beta_2=0.95), dtype, passing, n_steps=4_000):
        assert n_subnormal(optimizer.state[1]) == 0


def test_what_is_not_small_is_left_alone():
    x = np.array([0.0, 1e-30, -1e-30, 2e-19, -2e-19, 1.0, np.inf, np.nan], np.float32)
    kept = x.copy()
    kept[1:3] = 0.0
    drop_small(x, np.empty_like(x))
    np.testing.assert_array_equal(x, kept)


@MAKE
def test_it_does_not_matter_where_a_run_is_cut(make):
    def run(cut):
        rng = np.random.default_rng(0)
        optimizer, theta = make(N, np.float32), np.full(N, 1e-15, np.float32)
        for t in range(1, 4 * PERIOD):
            optimizer.step(theta, of_the_l2_term(theta, t, rng).astype(np.float32), 0.01)
            if t == cut:
                optimizer = pickle.loads(pickle.dumps(optimizer))
        return theta

    assert {run(cut).tobytes() for cut in (None, 1, PERIOD - 1, PERIOD, PERIOD + 1)} == {
        run(0).tobytes()
    }


@pytest.mark.parametrize(
    "params", [{}, {"solver": "sgd", "learning_rate_init": 0.05}, {"activation": "gelu"}], ids=str
)
def test_a_fit_leaves_none_in_its_weights_and_its_optimizer(params):
    X, y = make_friedman1(300, 10, noise=0.1, random_state=0)
    params = {"early_stopping": False, "max_iter": 600, "alpha": 0.1, **params}
    model = DNNRegressor(
        hidden_layer_sizes=(48, 48), random_state=0, warm_start=True, **params
    ).fit(X, y)
    state = model._states[0]
    arrays = [state.parameters.theta, state.average, state.optimizer.state]
    assert [n_subnormal(array) for array in arrays] == [0, 0, 0]


def test_the_average_of_weights_that_became_zero_ends_at_zero():
    parameters = Parameters((9, 9), np.zeros(90, np.float32))
    rows = Rows(np.zeros((2, 9), np.float32), np.zeros((2, 9), np.float32), None)
    objective = Objective(Batches(rows), Network(parameters, (), SquaredError()), 0.0, 2)
    state = State(parameters, GradientDescent(90, np.float32), 0, average=np.ones(90, np.float32))
    state.optimizer.t = 10_000  # steps that the average already holds
    plan = Plan(1, 2, True, 0.1, SCHEDULES["constant"], average_decay=0.99)
    for _ in range(12_000):
        objective.gradient.theta.fill(0.0)
        _step(state, objective, 0.1, plan)
        assert n_subnormal(state.average) == 0
    assert not state.average.any()
