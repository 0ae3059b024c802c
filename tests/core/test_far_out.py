"""Activations and outputs far from 0: the right limits, no overflow, and no subnormal number."""

import numpy as np
import pytest
from scipy.special import expit, ndtr

from skdnn.core.activations import ACTIVATIONS, faint, far
from skdnn.losses import BinaryCrossEntropy, CategoricalCrossEntropy, Poisson

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
NAMES = pytest.mark.parametrize("name", ACTIVATIONS)
SELU_C, SELU_R = 1.0507009873554805, 1.6732632423543772
DEVIATION = np.sqrt(2.0 * np.pi)


def tanh_of_softplus(z):
    return np.tanh(np.logaddexp(0.0, z))


# g and g' in forms that are right for every float64, one number at a time or many.
EXACT = {
    "identity": (lambda z: z, np.ones_like),
    "logistic": (expit, lambda z: expit(z) * expit(-z)),
    "tanh": (np.tanh, lambda z: 4.0 * expit(2.0 * z) * expit(-2.0 * z)),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: 1.0 * (z > 0)),
    "leaky_relu": (lambda z: np.maximum(z, 0.01 * z), lambda z: np.where(z > 0, 1.0, 0.01)),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
        lambda z: np.exp(np.minimum(z, 0.0)),
    ),
    "selu": (
        lambda z: SELU_C * np.where(z > 0, z, SELU_R * np.expm1(np.minimum(z, 0.0))),
        lambda z: SELU_C * np.where(z > 0, 1.0, SELU_R * np.exp(np.minimum(z, 0.0))),
    ),
    "gelu": (
        lambda z: z * ndtr(z),
        lambda z: ndtr(z) + z * np.exp(-0.5 * np.minimum(z**2, 1e4)) / DEVIATION,
    ),
    "silu": (lambda z: z * expit(z), lambda z: expit(z) * (1.0 + z * expit(-z))),
    "mish": (
        lambda z: z * tanh_of_softplus(z),
        lambda z: tanh_of_softplus(z) + z * expit(z) * (1.0 - tanh_of_softplus(z) ** 2),
    ),
    "softplus": (lambda z: np.logaddexp(0.0, z), expit),
}
EXACT["sigmoid"] = EXACT["logistic"]


def value_and_slope(name, z):
    return ACTIVATIONS[name](z), ACTIVATIONS[name].d(z)


def n_subnormal(x):
    return np.count_nonzero((x != 0.0) & (np.abs(x) < np.finfo(x.dtype).tiny))


def test_every_activation_is_tested():
    assert set(EXACT) == set(ACTIVATIONS)


@NAMES
@DTYPES
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("part", ["value", "slope"])
def test_powers_of_ten_have_the_right_value_and_slope(part, sign, dtype, name):
    largest = 38 if dtype is np.float32 else 300
    z = sign * 10.0 ** np.arange(-largest, largest + 1)
    i = ["value", "slope"].index(part)
    with np.errstate(over="ignore", under="ignore"):
        exact = EXACT[name][i](z)
    with np.errstate(all="raise", under="ignore"):
        ours = value_and_slope(name, z.astype(dtype))[i]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(ours, exact, rtol=20 * eps, atol=2 * eps)


@NAMES
@pytest.mark.parametrize("part", ["value", "slope"])
def test_float32_is_float64_to_the_last_bits(part, name):
    z = np.linspace(-7.5, 7.5, 4001).astype(np.float32)
    i = ["value", "slope"].index(part)
    exact = value_and_slope(name, z.astype(float))[i]
    error = np.abs(value_and_slope(name, z)[i] - exact) / np.finfo(np.float32).eps
    # A slope is read off a rounded value, and is as good as 1 is; a value is as good as itself.
    unit = np.maximum(np.abs(exact), 1.0) if part == "slope" else np.abs(exact)
    tail = 4.0 + z**2 / 2.0 if name == "gelu" and part == "value" else 3.0
    assert np.all(error <= tail * unit)


@NAMES
@DTYPES
@pytest.mark.parametrize("part", ["value", "slope"])
def test_a_tail_has_no_subnormal_number(part, dtype, name):
    z = -np.linspace(1.0, 6.0 * far(dtype), 5000).astype(dtype)
    i = ["value", "slope"].index(part)
    assert n_subnormal(value_and_slope(name, z)[i]) == 0


@NAMES
@DTYPES
def test_a_slope_times_a_faint_gradient_is_not_subnormal(dtype, name):
    z = -np.linspace(1.0, 6.0 * far(dtype), 5000).astype(dtype)
    assert n_subnormal(ACTIVATIONS[name].d(z) * dtype(faint(dtype))) == 0


@NAMES
def test_half_precision_is_computed_in_float32(name):
    z = np.linspace(-9.0, 9.0, 19).astype(np.float16)
    assert np.array_equal(ACTIVATIONS[name](z), ACTIVATIONS[name](z.astype(np.float32)))


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), CategoricalCrossEntropy(), Poisson()])
@DTYPES
def test_a_gradient_of_the_loss_has_no_subnormal_number(dtype, loss):
    Z = np.linspace(-6.0 * far(dtype), 0.0, 999).astype(dtype) * np.array([[1], [0]], dtype)
    A, dZ, work = np.empty_like(Z), np.empty_like(Z), np.empty((2, *Z.shape), dtype)
    loss.output(Z, A, work)
    loss.gradient(A, np.zeros_like(Z), None, 1e6, out=dZ)
    assert n_subnormal(dZ) == 0


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), CategoricalCrossEntropy(), Poisson()])
@DTYPES
def test_an_output_above_a_millionth_is_as_it_was(dtype, loss):
    z = np.linspace(-13.8, 0.0, 999).astype(dtype)
    Z = np.stack([z, np.zeros_like(z)])
    A, work = np.empty_like(Z), np.empty((2, *Z.shape), dtype)
    loss.output(Z, A, work)
    z = Z.astype(float)
    forms = {
        "logistic": expit(z),
        "softmax": np.exp(z) / np.exp(z).sum(axis=0),
        "exp": np.exp(z),
    }
    np.testing.assert_allclose(A, forms[loss.out_activation], rtol=5 * np.finfo(dtype).eps)
