"""Gradients of predictions in the columns are exact, and what is made of them keeps its axioms."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from skdnn import DNNRegressor, inspection
from skdnn.inputs import SCALERS
from skdnn.inspection import (
    SensitivitiesDisplay,
    input_gradient,
    integrated_gradients,
    sensitivities,
)
from skdnn.verify import _COMPLEX
from tests import paper
from tests.cases import CASES, UNCONVERGED, X, default, many, plain

matplotlib.use("Agg")
pytestmark = UNCONVERGED

SCALED = pytest.mark.parametrize("scale_inputs", [None, *SCALERS])
# What can be asked of each case: a regressor has no probability.
ASKED = [(name, "output") for name in CASES]
ASKED += [
    (name, "probability") for name, case in CASES.items() if case.Estimator is not DNNRegressor
]
EACH = pytest.mark.parametrize(("name", "of"), ASKED)
ROWS = X[:12]


def fitted(name, **params):
    """Return a smooth network of the case in inputs and targets of other units."""
    scale_target = {"scale_target": True} if CASES[name].Estimator is DNNRegressor else {}
    params = {"activation": "tanh", "max_iter": 3, "scale_inputs": "clipped", **params}
    params = {"hidden_layer_sizes": (5, 4), **scale_target, **params}
    return plain(name, **params).fit(X, CASES[name].y)


def asked(model, X, of="output"):
    """Return what the gradients are of, by the estimator's public methods."""
    if isinstance(model, DNNRegressor):
        return model.predict(X)
    if of == "output":
        return model.decision_function(X)
    probability = model.predict_proba(X)
    is_of_second = model.n_outputs_ == 1
    return probability[:, 1] if is_of_second else probability


def by_differences(model, X, of="output", h=1e-5):
    """Return the gradients by central differences."""
    sides = [(asked(model, X + h * e, of), asked(model, X - h * e, of)) for e in np.eye(X.shape[1])]
    return np.stack([(right - left) / (2 * h) for right, left in sides], axis=-1)


def in_complex(model, X, of):
    """Return what the gradients are of, once more, in forms for complex numbers."""
    inputs, targets = model._model.inputs, model._model.targets
    if inputs.center is not None:
        X = (X - inputs.center) / inputs.scale
    if inputs.clips:
        X = X / np.sqrt(1 + (X / 3) ** 2)
    raw = []
    for network in model._model.networks:
        A, p, L = X.T, network.parameters, len(network.parameters.W) - 1
        for l in range(1, L + 1):
            A = p.W[l] @ A + p.b[l]
            A = A if l == L else _COMPLEX[type(network.g[l])](network.g[l], A)
        raw.append(A)
    Z = np.mean(raw, axis=0)
    link = {"exp": np.exp, "logistic": paper.sigmoid, "softmax": paper.softmax}
    if isinstance(model, DNNRegressor):
        y = link.get(model.out_activation_, lambda Z: Z)(Z).T * targets.scale + targets.center
        return y[:, 0] if y.shape[1] == 1 else y
    if of == "probability":
        Z = link[model.out_activation_](Z)
    elif model.out_activation_ == "softmax" and len(Z) == 2:
        Z = Z[1:] - Z[:1]
    return Z[0] if len(Z) == 1 else Z.T


def by_complex_step(model, X, of="output", h=1e-200):
    """Return the gradients without a difference, and so to rounding."""
    steps = [in_complex(model, X + 1j * h * e, of).imag / h for e in np.eye(X.shape[1])]
    return np.stack(steps, axis=-1)


def relative(ours, theirs):
    assert ours.shape == theirs.shape
    return np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))


# ------------------------------------------------------------------------- input_gradient


@EACH
@SCALED
def test_gradient_is_that_of_the_complex_step(name, of, scale_inputs):
    model = fitted(name, scale_inputs=scale_inputs)
    assert relative(input_gradient(model, ROWS, of), by_complex_step(model, ROWS, of)) < 1e-13


@pytest.mark.parametrize("activation", paper.ACTIVATIONS)
def test_gradient_through_every_activation_is_that_of_the_complex_step(activation):
    model = fitted("multiclass", activation=activation)
    assert relative(input_gradient(model, ROWS), by_complex_step(model, ROWS)) < 1e-13


@EACH
def test_gradient_at_the_defaults_is_that_of_differences(name, of):
    model = default(name).fit(*many(name))
    assert relative(input_gradient(model, ROWS, of), by_differences(model, ROWS, of)) < 1e-5


@pytest.mark.parametrize("sizes", [(), (1,), (3,), (6, 2, 5)])
def test_gradient_is_exact_at_every_depth(sizes):
    model = fitted("two_outputs", hidden_layer_sizes=sizes)
    assert relative(input_gradient(model, ROWS), by_complex_step(model, ROWS)) < 1e-13


@pytest.mark.parametrize(
    "params", [{"loss": "gamma"}, {"loss": "tweedie"}, {"loss": "huber"}, {"scale_target": False}]
)
def test_gradient_through_every_output_is_that_of_differences(params):
    params = {"activation": "tanh", "max_iter": 3, **params}
    model = plain("regressor", **params).fit(X, np.exp(CASES["regressor"].y))
    assert relative(input_gradient(model, ROWS), by_differences(model, ROWS)) < 1e-7


def test_gradient_of_quantiles_is_that_of_the_sorted_ones():
    model = plain("regressor", loss="quantile", quantile=[0.1, 0.5, 0.9], activation="tanh")
    model.set_params(max_iter=3, scale_target=True).fit(X, CASES["regressor"].y)
    model.biases_ = [*model.biases_[:-1], np.zeros((3, 1))]  # so that they cross
    assert relative(input_gradient(model, X), by_differences(model, X)) < 1e-6


@EACH
def test_gradient_of_several_networks_is_that_of_their_mean(name, of):
    model = default(name, n_estimators=3, activation="silu").fit(*many(name))
    assert relative(input_gradient(model, ROWS, of), by_differences(model, ROWS, of)) < 1e-5


@EACH
@SCALED
def test_sparse_rows_have_the_gradient_of_dense_ones(name, of, scale_inputs):
    model = fitted(name, scale_inputs=scale_inputs)
    sparse = input_gradient(model, csr_array(ROWS), of)
    assert relative(sparse, input_gradient(model, ROWS, of)) < 1e-12


@EACH
def test_gradient_has_an_axis_for_the_outputs_where_there_are_several(name, of):
    values = asked(fitted(name), ROWS, of)
    assert input_gradient(fitted(name), ROWS, of).shape == (*values.shape, X.shape[1])


def test_gradient_is_in_the_type_of_the_model():
    model = fitted("regressor").fit(X.astype(np.float32), CASES["regressor"].y)
    gradient = input_gradient(model, ROWS)
    assert gradient.dtype == np.float32
    assert relative(gradient, by_complex_step(model, ROWS)) < 1e-5


@pytest.mark.parametrize("chunk", [1, 5, 12])
def test_gradient_does_not_depend_on_how_many_rows_are_taken_at_once(chunk, monkeypatch):
    model = fitted("multiclass")
    whole = input_gradient(model, ROWS)
    monkeypatch.setattr(inspection, "CHUNK", chunk)
    assert relative(input_gradient(model, ROWS), whole) < 1e-13


@SCALED
@pytest.mark.parametrize("far", [1e9, 1e30, 1e300])
def test_gradient_far_out_is_finite(scale_inputs, far):
    model = fitted("multiclass", scale_inputs=scale_inputs)
    assert np.isfinite(input_gradient(model, far * ROWS, "probability")).all()


def test_asking_does_not_change_the_model():
    model = fitted("regressor")
    before, predicted = dict(vars(model)), model.predict(ROWS)
    input_gradient(model, ROWS)
    assert vars(model) == before
    assert np.array_equal(model.predict(ROWS), predicted)


def test_gradient_in_the_input_is_equation_16_for_the_first_layer():
    model = fitted("multiclass", scale_inputs=None)
    W, b = ([None, *arrays] for arrays in (model.weights_, model.biases_))
    g, dg = paper.ACTIVATIONS["tanh"]
    x = ROWS[:1].T
    Z1 = W[1] @ x + b[1]
    Z2 = W[2] @ g(Z1) + b[2]
    delta = np.eye(3)[:, [1]]
    for l, Z in [(3, Z2), (2, Z1)]:
        delta = paper.previous_delta(dg, Z, W[l], delta)
    ours = input_gradient(model, ROWS[:1])[0, 1]
    np.testing.assert_allclose(ours, paper.nabla_a(W[1], delta)[:, 0], rtol=1e-13)


FUNCTIONS = pytest.mark.parametrize(
    "function", [input_gradient, integrated_gradients, sensitivities]
)


@FUNCTIONS
def test_unfitted_estimator_is_refused(function):
    with pytest.raises(NotFittedError):
        function(DNNRegressor(), X)


@FUNCTIONS
def test_estimator_of_another_kind_is_refused(function):
    y = CASES["regressor"].y
    with pytest.raises(TypeError, match="model must be one of skdnn's, got LinearRegression"):
        function(LinearRegression().fit(X, y), X)
    with pytest.raises(TypeError, match="got Pipeline; of a pipeline take the last step"):
        function(make_pipeline(fitted("regressor")), X)


@FUNCTIONS
def test_what_is_asked_for_has_to_be_there(function):
    with pytest.raises(ValueError, match="of must be 'output' or 'probability', got 'logit'"):
        function(fitted("binary"), X, of="logit")
    with pytest.raises(ValueError, match="of must be 'output' for a regressor"):
        function(fitted("regressor"), X, of="probability")


@FUNCTIONS
def test_other_columns_than_in_the_fit_are_refused(function):
    with pytest.raises(ValueError, match="3 features"):
        function(fitted("regressor"), X[:, :3])


# ------------------------------------------------------------------- integrated_gradients


@EACH
@SCALED
def test_attributions_are_complete(name, of, scale_inputs):
    """They sum to the difference from the baseline: proposition 1 of Sundararajan et al."""
    model = fitted(name, scale_inputs=scale_inputs)
    baseline = np.array([0.5, -1.0, 0.0, 2.0])
    sums = integrated_gradients(model, X, baseline, of=of).sum(axis=-1)
    change = asked(model, X, of) - asked(model, baseline[None], of)
    assert np.max(np.abs(sums - change)) <= 1e-3 * np.max(np.abs(change))


@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_attributions_of_a_network_with_kinks_are_as_complete_as_asked(tol):
    model = fitted("two_outputs", activation="relu")
    start = X.mean(axis=0)
    sums = integrated_gradients(model, X, tol=tol, baseline=start).sum(axis=-1)
    change = model.predict(X) - model.predict(start[None])
    assert np.max(np.abs(sums - change)) <= tol * np.max(np.abs(change))


def test_a_column_as_in_the_baseline_has_no_part():
    model = fitted("regressor")
    baseline = X[0] + [1.0, 0.0, -2.0, 0.0]
    assert not integrated_gradients(model, X[:1], baseline)[0, [1, 3]].any()


def test_attributions_of_a_linear_model_are_its_terms():
    model = fitted("regressor", hidden_layer_sizes=(), scale_inputs=None, scale_target=False)
    terms = model.weights_[0] * (ROWS - X[5])
    np.testing.assert_allclose(integrated_gradients(model, ROWS, X[5]), terms, atol=1e-13)


@pytest.mark.parametrize("scale_inputs", [None, "standard", "robust"])
def test_baseline_is_the_centre_of_the_training_rows(scale_inputs):
    model = fitted("regressor", scale_inputs=scale_inputs)
    center = {
        None: np.zeros(4),
        "standard": X.mean(axis=0),
        "robust": np.quantile(X, 0.5, axis=0, method="inverted_cdf"),
    }[scale_inputs]
    given = integrated_gradients(model, ROWS, center)
    np.testing.assert_allclose(integrated_gradients(model, ROWS), given, atol=1e-12)


def test_every_row_may_have_a_baseline_of_its_own():
    model = fitted("multiclass")
    each = [integrated_gradients(model, x[None], b) for x, b in zip(ROWS, X[20:32], strict=True)]
    together = integrated_gradients(model, ROWS, X[20:32])
    np.testing.assert_allclose(together, np.concatenate(each), rtol=0.01, atol=1e-4)


def test_sparse_rows_have_the_attributions_of_dense_ones():
    model = fitted("regressor")
    sparse = integrated_gradients(model, csr_array(ROWS))
    np.testing.assert_allclose(sparse, integrated_gradients(model, ROWS), atol=1e-12)


def test_a_path_with_too_many_kinks_is_warned_about(monkeypatch):
    monkeypatch.setattr(inspection, "MOST_PIECES", 1)
    model = fitted("regressor", activation="relu")
    with pytest.warns(UserWarning, match=r"of 60 rows, the first of them row \d+, do not sum to"):
        integrated_gradients(model, X, tol=1e-9)


@pytest.mark.parametrize("baseline", [np.zeros(3), np.zeros((7, 4))])
def test_baseline_of_another_shape_is_refused(baseline):
    with pytest.raises(ValueError, match=r"baseline must have the shape|3 features"):
        integrated_gradients(fitted("regressor"), X, baseline)


def test_baseline_of_nan_is_refused():
    with pytest.raises(ValueError, match="baseline contains NaN"):
        integrated_gradients(fitted("regressor"), X, [np.nan, 0, 0, 0])


@pytest.mark.parametrize("tol", [0.0, -1.0, np.nan])
def test_tolerance_has_to_be_positive(tol):
    with pytest.raises(ValueError, match="tol must be > 0"):
        integrated_gradients(fitted("regressor"), X, tol=tol)


# -------------------------------------------------------------------------- sensitivities


@EACH
def test_sensitivities_sum_up_the_gradients(name, of):
    model = fitted(name)
    found, G = sensitivities(model, X, of=of), input_gradient(model, X, of)
    np.testing.assert_allclose(found.mean, G.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(found.mean_absolute, np.abs(G).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.increasing, (G > 0).mean(axis=0), rtol=1e-12)
    assert np.array_equal(found.minimum, G.min(axis=0))
    assert np.array_equal(found.maximum, G.max(axis=0))
    np.testing.assert_allclose(found.deviation, X.std(axis=0), rtol=1e-12)


def test_a_constant_column_has_no_deviation():
    rows = np.column_stack([X[:, :3], np.full(60, 7.0)])
    assert sensitivities(fitted("regressor"), rows).deviation[3] == 0.0


def test_a_weight_counts_as_so_many_rows():
    model, w = fitted("multiclass"), np.arange(60) % 4
    weighted, repeated = sensitivities(model, X, w), sensitivities(model, np.repeat(X, w, axis=0))
    for name in ("mean", "mean_absolute", "minimum", "maximum", "increasing", "deviation"):
        np.testing.assert_allclose(weighted[name], repeated[name], rtol=1e-10, atol=1e-14)


def test_a_model_that_rises_with_a_column_is_seen_to():
    model = fitted("regressor", activation="softplus")
    model.weights_ = [np.abs(W) * [1, 1, 1, -1] if W.shape[1] == 4 and W.shape[0] == 5 else abs(W)
                      for W in model.weights_]  # fmt: skip
    found = sensitivities(model, X)
    assert (found.minimum[:3] > 0).all()
    assert found.maximum[3] < 0
    assert found.increasing.tolist() == [1, 1, 1, 0]


def test_columns_have_the_names_of_the_fit():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = default("regressor").fit(frame, CASES["regressor"].y)
    assert sensitivities(model, frame).feature_names.tolist() == list("abcd")
    assert sensitivities(fitted("regressor"), X).feature_names.tolist() == ["x0", "x1", "x2", "x3"]


# ------------------------------------------------------------------------------- a picture


@pytest.fixture
def drawn():
    yield lambda *args, **kwargs: SensitivitiesDisplay.from_estimator(*args, **kwargs)
    plt.close("all")


def test_bars_are_the_sensitivities_in_order(drawn):
    model = fitted("regressor")
    found, display = sensitivities(model, X), drawn(model, X)
    sizes = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(sizes, np.sort(found.mean_absolute * found.deviation))
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    order = np.argsort(found.mean_absolute * found.deviation)
    assert names == found.feature_names[order].tolist()


def test_lines_and_dots_are_range_and_mean(drawn):
    model = fitted("regressor")
    found, display = sensitivities(model, X), drawn(model, X, n_features=2)
    order = np.argsort(found.mean_absolute * found.deviation)[-2:]
    ends = [segment[:, 0] for segment in display.lines_.get_segments()]
    both = np.stack([found.minimum, found.maximum], axis=1) * found.deviation[:, None]
    np.testing.assert_allclose(ends, both[order])
    np.testing.assert_allclose(display.dots_.get_xdata(), (found.mean * found.deviation)[order])


def test_one_of_several_outputs_is_drawn(drawn):
    model = fitted("multiclass")
    found, display = (
        sensitivities(model, X, of="probability"),
        drawn(model, X, of="probability", output=2),
    )
    largest = max(bar.get_width() for bar in display.bars_)
    assert largest == pytest.approx(np.max(found.mean_absolute[2] * found.deviation))
    assert "probability" in display.ax_.get_xlabel()


def test_an_axes_is_taken(drawn):
    _, ax = plt.subplots()
    assert drawn(fitted("regressor"), X, ax=ax).ax_ is ax


@pytest.mark.parametrize(
    ("name", "output"), [("multiclass", None), ("multiclass", 3), ("binary", 0)]
)
def test_output_has_to_be_named_where_there_are_several(name, output):
    with pytest.raises(ValueError, match="output must be"):
        SensitivitiesDisplay.from_estimator(fitted(name), X, output=output)
