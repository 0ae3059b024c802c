"""A fitted model as a PyTorch module says what the model says, and can be trained further."""

import copy
import pickle
import sys

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from skdnn import DNNRegressor
from skdnn.activations import ACTIVATIONS, Tanh
from skdnn.inputs import SCALERS
from skdnn.inspection import input_gradient
from tests.cases import CASES, UNCONVERGED, X, default, many, outputs_of, plain

torch = pytest.importorskip("torch")
from skdnn.torch import to_module  # noqa: E402 (PyTorch may be absent)

pytestmark = UNCONVERGED
NAME = pytest.mark.parametrize("name", CASES)
FITS = {
    "defaults": lambda name: default(name).fit(*many(name)),
    "several": lambda name: default(name, n_estimators=3).fit(*many(name)),
    "unscaled": lambda name: plain(name, max_iter=3).fit(X, CASES[name].y),
    **{
        method: lambda name, method=method: plain(name, max_iter=3, scale_inputs=method).fit(
            1e3 * X + 1e5, CASES[name].y
        )
        for method in SCALERS
    },
    "no hidden layer": lambda name: default(name, hidden_layer_sizes=()).fit(*many(name)),
}


def of_module(module, X):
    return module(torch.tensor(X)).detach().numpy()


@NAME
@pytest.mark.parametrize("fit", FITS)
def test_module_says_what_the_model_says(name, fit):
    model = FITS[fit](name)
    rows = 1e3 * X + 1e5 if fit in SCALERS else X
    ours, theirs = outputs_of(model, rows), of_module(to_module(model), rows)
    assert theirs.shape == ours.shape
    assert np.max(np.abs(theirs - ours)) <= 1e-10 * max(np.max(np.abs(ours)), 1.0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_module_has_every_activation(activation):
    model = plain("multiclass", activation=activation, max_iter=2).fit(X, CASES["multiclass"].y)
    np.testing.assert_allclose(
        of_module(to_module(model), 30 * X), outputs_of(model, 30 * X), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize(
    "params",
    [{"loss": "gamma"}, {"loss": "tweedie"}, {"loss": "quantile", "quantile": [0.2, 0.5, 0.8]}],
)
def test_module_has_every_output(params):
    model = default("regressor", **params).fit(X, np.exp(CASES["regressor"].y))
    np.testing.assert_allclose(of_module(to_module(model), X), model.predict(X), rtol=1e-10)


@NAME
def test_module_of_a_model_in_float32_is_in_float32(name):
    model = default(name).fit(X.astype(np.float32), CASES[name].y)
    ours, theirs = outputs_of(model, X), of_module(to_module(model), X.astype(np.float32))
    assert theirs.dtype == np.float32
    assert np.max(np.abs(theirs - ours)) <= 1e-6 * max(np.max(np.abs(ours)), 1.0)


def test_far_out_the_module_says_what_the_model_says():
    model = default("multiclass").fit(*many("multiclass"))
    rows = np.full((1, 4), 1e200)
    np.testing.assert_allclose(of_module(to_module(model), rows), outputs_of(model, rows))


@NAME
def test_gradient_in_the_input_is_that_of_autograd(name):
    model = default(name, n_estimators=2, activation="gelu").fit(*many(name))
    rows = torch.tensor(X, requires_grad=True)
    outputs = to_module(model, keepdim=True)(rows)
    each = [torch.autograd.grad(z.sum(), rows, retain_graph=True)[0] for z in outputs.T]
    theirs = np.stack([gradient.numpy() for gradient in each], axis=1)
    ours = input_gradient(model, X).reshape(theirs.shape)
    assert np.max(np.abs(ours - theirs)) <= 1e-12 * np.max(np.abs(theirs))


def test_a_single_output_keeps_its_column_if_asked():
    model = default("regressor").fit(*many("regressor"))
    rows = torch.tensor(X)
    module, column = to_module(model), to_module(model, keepdim=True)
    assert (module(rows).shape, column(rows).shape) == ((60,), (60, 1))


def test_module_can_be_trained_further():
    model = default("regressor").fit(*many("regressor"))
    rows, y = torch.tensor(X), torch.tensor(CASES["regressor"].y)
    module = to_module(model)
    steps = torch.optim.Adam(module.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        steps.zero_grad()
        loss = torch.mean((module(rows) - y) ** 2)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_training_the_module_leaves_the_model_alone():
    model = default("regressor").fit(*many("regressor"))
    before, module = model.predict(X), to_module(model)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert np.array_equal(model.predict(X), before)


def test_scales_are_moved_with_the_module_and_not_trained():
    module = to_module(default("regressor").fit(*many("regressor")))
    names = {"inputs.center", "inputs.scale", "targets.center", "targets.scale"}
    assert names <= {name for name, _ in module.named_buffers()}
    assert not names & {name for name, _ in module.named_parameters()}
    assert module.float()(torch.tensor(X, dtype=torch.float32)).dtype == torch.float32


@pytest.mark.parametrize("through", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_module_can_be_copied(through):
    module = to_module(default("multiclass").fit(*many("multiclass")))
    assert np.array_equal(of_module(through(module), X), of_module(module, X))


def test_unfitted_estimator_is_refused():
    with pytest.raises(NotFittedError):
        to_module(DNNRegressor())


def test_estimator_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="model must be one of skdnn's, got LinearRegression"):
        to_module(LinearRegression())


def test_without_pytorch_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "skdnn.modules", None)
    with pytest.raises(ImportError, match="pip install torch"):
        to_module(default("regressor").fit(*many("regressor")))


class MyTanh(Tanh):
    """An activation of the user's own."""


def test_an_activation_of_ones_own_is_refused(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "tanh", MyTanh())
    model = plain("regressor", activation="tanh", max_iter=2).fit(X, CASES["regressor"].y)
    with pytest.raises(ValueError, match="activation must be one that PyTorch has; got MyTanh"):
        to_module(model)
