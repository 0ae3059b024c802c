"""Factors of columns that Adam learns beside the weights."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdnn import Checkpoint, DNNRegressor
from skdnn.checkpoint import _is_like, optimizers_like
from skdnn.core.network import Parameters
from skdnn.core.optimizers import EVERY, Adam, Factors

SIZES, OF = (5, 3, 2), np.array([0, 0, 1, 2, 1])


def rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, n)), rng.normal(size=(2, n)), rng


def cost(W1, b1, W2, b2, X, Y):
    return np.sum((W2 @ np.tanh(W1 @ X + b1) + b2 - Y) ** 2) / 2.0


def gradient_of(parameters, X, Y):
    """Return dJ / d theta by complex steps."""
    slopes = np.empty_like(parameters.theta)
    for i in range(len(slopes)):
        theta = parameters.theta.astype(complex)
        theta[i] += 1e-30j
        of = parameters.like(theta)
        slopes[i] = cost(of.W[1], of.b[1], of.W[2], of.b[2], X, Y).imag / 1e-30
    return slopes


def test_the_slope_in_the_logarithm_of_a_factor_is_that_of_the_cost():
    X, Y, rng = rows()
    parameters = Parameters(SIZES, rng.normal(size=Parameters.count(SIZES)))
    slopes = Factors(OF, 3, 3, 1.0).slopes(parameters.theta, gradient_of(parameters, X, Y))
    for k in range(3):
        W1 = parameters.W[1] * np.exp(1e-30j * (k == OF))
        J = cost(W1, parameters.b[1], parameters.W[2], parameters.b[2], X, Y)
        assert_allclose(slopes[k], J.imag / 1e-30, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_fourth_step_multiplies_the_columns_by_the_factors_of_an_adam_of_their_own(dtype):
    rng = np.random.default_rng(1)
    n, rate, share = Parameters.count(SIZES), 0.02, 0.3
    theta = rng.normal(size=n).astype(dtype)
    factors = Factors(OF, 3, 3, share)
    ours, without = Adam(n, dtype, scales=factors), Adam(n, dtype)
    own = Adam(3, np.float64)
    for t in range(3 * EVERY):
        gradient, before = rng.normal(size=n).astype(dtype), theta.copy()
        plain = before.copy()
        ours.step(theta, gradient, rate)
        without.step(plain, gradient, rate)
        log_f = np.zeros(3)
        if t % EVERY == 0:
            own.step(log_f, factors.slopes(before, gradient), EVERY * rate * share)
        columns = factors.columns(plain)
        columns *= np.exp(log_f)[OF][:, None].astype(dtype)
        assert_allclose(theta, plain, rtol=1e-6 if dtype is np.float32 else 1e-12)


def test_what_columns_of_a_table_became_has_one_factor():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    frame = pd.DataFrame(
        {
            "few": rng.choice(["u", "v", "w"], 400),
            "x": np.where(np.arange(400) % 9, x, np.nan),
            "many": rng.integers(0, 60, 400).astype(str),
        }
    )
    model = DNNRegressor(max_iter=2, random_state=0).fit(frame, x)
    names = [name.split(":")[0].split("=")[0].split(" ")[0] for name in model.input_names_]
    sources = model._model.inputs.sources
    assert names == [frame.columns[j] for j in sources]
    assert len(sources) == model.weights_[0].shape[1]


def test_a_column_that_tells_nothing_is_made_little_beside_one_that_does():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 20))
    y = np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2]

    def share(**params):
        model = DNNRegressor(random_state=0, scale_inputs="standard", **params).fit(X, y)
        norms = np.linalg.norm(model.weights_[0], axis=0)
        return norms[3:].mean() / norms[:3].mean()

    assert share() < 0.9 * share(column_rate=0.0)


@pytest.mark.parametrize("first, then", [(0.0, 0.2), (0.2, 0.0), (0.2, 0.2)])
def test_a_warm_start_may_have_factors_where_the_first_fit_had_none(first, then):
    X = np.random.default_rng(0).normal(size=(100, 3))
    model = DNNRegressor(max_iter=2, warm_start=True, random_state=0, column_rate=first)
    model.fit(X, X[:, 0]).set_params(column_rate=then).fit(X, X[:, 0])
    assert np.isfinite(model.loss_)


def interrupted_at(epoch):
    class Interrupt(Checkpoint):
        def on_fit_task_end(self, estimator, context):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == epoch:
                raise RuntimeError("enough")

    return Interrupt


def columns(n, *, told):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({f"c{i}": ["x"] * 100 for i in range(n)})
    return frame.assign(k=list("ab") * 50) if told else frame.assign(x=np.arange(100.0))


@pytest.mark.parametrize("hidden", [(), (1,), (3,)], ids=str)
@pytest.mark.parametrize("told", [True, False])
def test_a_fit_over_columns_that_are_none_of_the_network_is_resumed(tmp_path, hidden, told):
    X, y, path = columns(40, told=told), np.arange(100.0), tmp_path / "fit"

    def model():
        return DNNRegressor("squared_error", hidden, max_iter=5, refit=False, random_state=0)

    with pytest.raises(RuntimeError, match="enough"):
        model().set_callbacks(interrupted_at(3)(path, every=1)).fit(X, y)
    resumed = model().set_callbacks(Checkpoint(path)).fit(X, y)
    whole = model().fit(X, y)
    assert_array_equal(resumed.predict(X), whole.predict(X))
    assert resumed.loss_curve_ == whole.loss_curve_


@pytest.mark.parametrize("state", [[[1], [1, 2]], [[1.0], [2.0]], "text", {}, None], ids=str)
def test_a_checkpoint_of_other_moments_is_damaged(state):
    blank = {"name": "adam", "t": 1, "state": np.zeros((2, 29))}
    patterns = optimizers_like(26, 3)
    assert _is_like(blank, patterns) and _is_like({**blank, "state": np.zeros((2, 26))}, patterns)
    assert not any(
        _is_like({**blank, "state": other}, patterns)
        for other in (state, np.zeros((2, 28)), np.zeros((2, 30)), np.zeros(29))
    )


def test_without_factors_adam_remembers_what_it_remembered_of_them():
    adam, other = Adam(26, np.float64, scales=Factors(OF, 3, 3, 1.0)), Adam(26, np.float64)
    adam.step(np.ones(26), np.arange(26.0), 0.1)
    other.go_on(adam.state, adam.t)
    assert_array_equal(other.state, adam.state)
