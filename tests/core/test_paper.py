"""The specification, tests/paper.py, is right: every statement of the paper, proved numerically.

Derivatives are compared with central differences, which know nothing of the formula they check.
"""

from itertools import pairwise

import numpy as np
import pytest

from tests import paper

SMOOTH = ["identity", "logistic", "tanh", "elu", "gelu", "silu", "mish", "softplus"]
PAIRS = list(paper.OUTPUTS)
IDENTITY = paper.ACTIVATIONS["identity"]
EPSILONS = [1.0, 0.5, 1e-3, 1e-8, 1e-32, 1e-120]


def jacobian(f, x, step=1e-5):
    """The matrix of dy_i/dx_j of a function of arrays, by fourth-order central differences."""
    columns = []
    for index in np.ndindex(x.shape):
        h = np.zeros_like(x)
        h[index] = step * max(1.0, abs(x[index]))
        near, far = f(x + h) - f(x - h), f(x + 2 * h) - f(x - 2 * h)
        columns.append(np.ravel(8 * near - far) / (12 * h[index]))
    return np.stack(columns, axis=1)


def gradient(f, x):
    """The gradient of a scalar function, in the shape of x (section 4's convention)."""
    return jacobian(f, x).reshape(x.shape)


def assert_same(ours, theirs, tolerance=1e-9):
    """Equal shapes, and equal to a tolerance relative to the largest entry."""
    assert np.shape(ours) == np.shape(theirs)
    scale = max(np.max(np.abs(theirs)), 1e-3)
    difference = np.max(np.abs(ours - theirs))
    assert difference <= tolerance * scale, (
        f"ours\n{ours}\ntheirs\n{theirs}\n{difference:.1e} apart"
    )


def targets(pair, m, N, rng):
    """Targets fit for the loss: one-hot columns, zeros and ones, counts, or any numbers."""
    if pair == "categorical_cross_entropy":
        return np.eye(m)[:, rng.integers(m, size=N)]
    if pair == "binary_cross_entropy":
        return rng.integers(2, size=(m, N)).astype(float)
    if pair == "poisson":
        return rng.poisson(2.0, size=(m, N)).astype(float)
    return rng.normal(size=(m, N))


def network(widths, rng):
    """Weights and biases indexed 1..L of a network with these widths n[0], ..., n[L]."""
    W = [None] + [rng.normal(size=(m, n)) / np.sqrt(n) for n, m in pairwise(widths)]
    b = [None] + [rng.normal(size=(m, 1)) / 2 for m in widths[1:]]
    return W, b


@pytest.fixture
def rng():
    return np.random.default_rng(2022)


@pytest.fixture
def layer(rng):
    """W, x, b of one layer with n = 3 inputs and m = 4 outputs."""
    return rng.normal(size=(4, 3)), rng.normal(size=(3, 1)), rng.normal(size=(4, 1))


@pytest.fixture(params=PAIRS)
def problem(request, rng):
    """A network of three layers with tanh inside, each pair of Theorem 6.1, seven samples."""
    W, b = network([3, 5, 4, 1 if request.param == "binary_cross_entropy" else 3], rng)
    X, Y = rng.normal(size=(3, 7)), targets(request.param, len(W[-1]), 7, rng)
    return X, Y, W, b, *paper.ACTIVATIONS["tanh"], paper.OUTPUTS[request.param]


# ------------------------------------------------------------------------------ section 3


@pytest.mark.parametrize("eps", EPSILONS)
def test_lemma_3_1_value_at_both_ends(eps):
    np.testing.assert_array_equal(paper.relu_eps(np.array([-eps, 0.0]), eps), [0.0, 0.0])


@pytest.mark.parametrize("eps", EPSILONS)
def test_lemma_3_1_slope_at_both_ends(eps):
    np.testing.assert_array_equal(paper.d_relu_eps(np.array([-eps, 0.0]), eps), [0.0, 1.0])


@pytest.mark.parametrize("eps", [np.float32(e) for e in EPSILONS[:-1]])
def test_lemma_3_1_value_and_slope_in_float32(eps):
    ends = np.array([-eps, 0.0], dtype=np.float32)
    found = paper.relu_eps(ends, eps).tolist(), paper.d_relu_eps(ends, eps).tolist()
    assert found == ([0.0, 0.0], [0.0, 1.0])


@pytest.mark.parametrize("eps", [1.0, 1e-8, 1e-32])
def test_lemma_3_1_slope_between_the_ends_is_the_derivative(eps):
    t = np.linspace(-0.99, -0.01, 99)
    h = 1e-4
    f = [paper.relu_eps((t + k * h) * eps, eps) / eps for k in (-2, -1, 1, 2)]
    differences = (8 * (f[2] - f[1]) - f[3] + f[0]) / (12 * h)
    np.testing.assert_allclose(paper.d_relu_eps(t * eps, eps), differences, atol=1e-10)


def test_lemma_3_1_slope_is_zero_below_and_one_above():
    z = np.array([-1e60, -1.0, -0.0011, 1e-9, 1.0, 1e60])
    np.testing.assert_array_equal(paper.d_relu_eps(z, 1e-3), [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("eps", EPSILONS)
def test_relu_eps_stays_within_026_eps_of_relu(eps):
    z = np.linspace(-1.5, 0.5, 2001) * eps
    distance = np.max(np.abs(paper.relu_eps(z, eps) - paper.relu(z))) / eps
    assert 0.2599 < distance < 0.26


def test_relu_eps_is_negative_and_not_monotone_inside():
    z = np.array([-1.0, -0.421, 0.0])
    left, inside, right = paper.relu_eps(z, 1.0)
    assert inside < left
    assert inside < right


def test_powers_of_epsilon_underflow_where_the_ratio_does_not():
    eps = np.float32(1e-32)
    assert eps**3 == 0
    assert np.all(np.isfinite(paper.d_relu_eps(-eps * np.linspace(0, 1, 5, dtype=np.float32), eps)))


def test_equation_1_takes_one_at_zero():
    np.testing.assert_array_equal(paper.d_relu(np.array([-2.0, 0.0, 3.0]), at_zero=1), [0, 1, 1])


def test_relu_slope_at_zero_is_zero_for_the_mirrored_relu_eps():
    """Replacing relu by z + relu_eps(-z) is as good, and the slope of this at 0 is 0: our pick."""
    z, eps = np.array([-1.0, 0.0, 1.0]), 1e-3
    np.testing.assert_array_equal(z + paper.relu_eps(-z, eps), paper.relu(z))
    np.testing.assert_array_equal(1 - paper.d_relu_eps(-z, eps), paper.d_relu(z))


@pytest.mark.parametrize("name", paper.ACTIVATIONS)
def test_activation_derivative(name, rng):
    """Equation (2) for the logistic; (1) away from 0 for relu; every other g' as well."""
    g, dg = paper.ACTIVATIONS[name]
    z = rng.normal(size=(40, 1)) * 2
    assert_same(paper.da_dz(dg, z), jacobian(g, z))


def test_softmax_columns_are_distributions(rng):
    o = paper.softmax(rng.normal(size=(4, 6)))
    np.testing.assert_allclose(o.sum(axis=0), 1, rtol=1e-14)


def test_softmax_of_two_is_the_sigmoid(rng):
    z = rng.normal(size=(1, 6))
    assert_same(paper.softmax(np.vstack([z, 0 * z]))[:1], paper.sigmoid(z), 1e-14)


# ------------------------------------------------------------------------------ section 4


def test_equation_3_is_5_componentwise(layer):
    assert_same(paper.linear_output(*layer), paper.linear_output_componentwise(*layer), 1e-14)


@pytest.mark.parametrize("name", paper.ACTIVATIONS)
def test_equation_4_is_what_numpy_does_to_an_array(name, layer):
    g, z = paper.ACTIVATIONS[name][0], paper.linear_output(*layer)
    assert_same(g(z), paper.activation_output(g, z), 1e-14)


def test_theorem_4_1_equation_7_dz_dx(layer):
    W, x, b = layer
    assert_same(paper.dz_dx(W), jacobian(lambda x: paper.linear_output(W, x, b), x))


def test_theorem_4_1_equation_8_dz_db(layer):
    W, x, b = layer
    assert_same(paper.dz_db(W), jacobian(lambda b: paper.linear_output(W, x, b), b))


@pytest.mark.parametrize("name", SMOOTH)
def test_theorem_4_1_equation_9_da_dz(name, layer):
    g, dg = paper.ACTIVATIONS[name]
    z = paper.linear_output(*layer)
    assert_same(paper.da_dz(dg, z), jacobian(lambda z: paper.activation_output(g, z), z))


def test_theorem_4_1_equation_10_nabla_W(layer, rng):
    W, x, b = layer
    c = rng.normal(size=(4, 1))

    def S(W):
        return np.sum(c * np.sin(paper.linear_output(W, x, b)))

    nabla_z = c * np.cos(paper.linear_output(W, x, b))
    assert_same(paper.nabla_W(nabla_z, x), gradient(S, W))


def test_equation_6_chain_rule_gives_equation_10(layer, rng):
    W, x, _ = layer
    nabla_z = rng.normal(size=(4, 1))
    assert_same(paper.nabla_W(nabla_z, x), paper.dS_dW_by_chain_rule(nabla_z, W, x), 1e-15)


# ------------------------------------------------------------------------------ section 5


def one_sample(problem):
    X, Y, *rest = problem
    return X[:, :1], Y[:, :1], *rest


def replaced(items, index, item):
    return [*items[:index], item, *items[index + 1 :]]


def cost_gradient_in_W(layer, problem):
    X, Y, W, b, g, _, output = problem
    return gradient(lambda W_l: paper.cost(X, Y, replaced(W, layer, W_l), b, g, output), W[layer])


def cost_gradient_in_b(layer, problem):
    X, Y, W, b, g, _, output = problem
    return gradient(lambda b_l: paper.cost(X, Y, W, replaced(b, layer, b_l), g, output), b[layer])


def loss_from(layer, problem, W=None, b=None):
    """The loss of one sample as a function of z[layer], the paper's S: the flow from there on."""
    _, y, W_, b_, g, _, output = one_sample(problem)
    W, b, L = W or W_, b or b_, len(W_) - 1

    def loss(z):
        for i in range(layer + 1, L + 1):
            z = paper.linear_output(W[i], g(z), b[i])
        return output.loss(output.activation(z), y)

    return loss


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_delta_is_the_gradient_in_z(problem, layer):
    """The definition of delta in section 5.1 holds for what Theorem 5.1's recurrence (17) gives."""
    x, y, W, b, g, dg, output = one_sample(problem)
    z, _ = paper.forward(x, W, b, g, output.activation)
    delta, _, _ = paper.backward_one_sample(x, y, W, b, g, dg, output)
    assert_same(delta[layer], gradient(loss_from(layer, problem), z[layer]))


@pytest.mark.parametrize("layer", [2, 3])
def test_theorem_5_1_recurrence(problem, layer):
    """(15), (17): delta of the layer before, from delta, both known by differences alone."""
    x, _, W, b, g, dg, output = one_sample(problem)
    z, _ = paper.forward(x, W, b, g, output.activation)
    delta = gradient(loss_from(layer, problem), z[layer])
    before = gradient(loss_from(layer - 1, problem), z[layer - 1])
    assert_same(paper.previous_delta(dg, z[layer - 1], W[layer], delta), before)


def test_equation_14_with_diag_is_15_componentwise(layer, rng):
    W, z_previous, z = layer
    _, dg = paper.ACTIVATIONS["tanh"]
    delta = rng.normal(size=z.shape)
    assert_same(
        paper.previous_delta(dg, z_previous, W, delta),
        paper.previous_delta_by_diag(dg, z_previous, W, delta),
        1e-15,
    )


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_theorem_5_1_gradient_in_the_input_of_a_layer(problem, layer):
    """(13), (16)."""
    x, y, W, b, g, dg, output = one_sample(problem)
    _, a = paper.forward(x, W, b, g, output.activation)
    delta, _, _ = paper.backward_one_sample(x, y, W, b, g, dg, output)
    loss = loss_from(layer, problem)
    by_differences = gradient(
        lambda a: loss(paper.linear_output(W[layer], a, b[layer])), a[layer - 1]
    )
    assert_same(paper.nabla_a(W[layer], delta[layer]), by_differences)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_theorem_5_1_gradient_in_W(problem, layer):
    """(11), (18)."""
    _, grad_W, _ = paper.backward_one_sample(*one_sample(problem))
    assert_same(grad_W[layer], cost_gradient_in_W(layer, one_sample(problem)))


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_theorem_5_1_gradient_in_b(problem, layer):
    """(12), (19)."""
    _, _, grad_b = paper.backward_one_sample(*one_sample(problem))
    assert_same(grad_b[layer], cost_gradient_in_b(layer, one_sample(problem)))


def columns_by_theorem_5_1(problem):
    X, Y, *rest = problem
    return [paper.backward_one_sample(X[:, [k]], Y[:, [k]], *rest) for k in range(X.shape[1])]


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_theorem_5_4_dZ_is_the_deltas_over_N(problem, layer):
    """(21)-(23) against Theorem 5.1 for each sample."""
    dZ, _, _ = paper.backward(*problem)
    deltas = [delta[layer] for delta, _, _ in columns_by_theorem_5_1(problem)]
    assert_same(dZ[layer], np.hstack(deltas) / len(deltas), 1e-14)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_theorem_5_4_dW_is_the_mean_over_samples(problem, layer):
    """(24) against the mean of (18)."""
    _, dW, _ = paper.backward(*problem)
    gradients = [grad_W[layer] for _, grad_W, _ in columns_by_theorem_5_1(problem)]
    assert_same(dW[layer], np.mean(gradients, axis=0), 1e-13)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_theorem_5_4_db_is_the_mean_over_samples(problem, layer):
    """(20), (25) against the mean of (19)."""
    _, _, db = paper.backward(*problem)
    gradients = [grad_b[layer] for _, _, grad_b in columns_by_theorem_5_1(problem)]
    assert_same(db[layer], np.mean(gradients, axis=0), 1e-13)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_theorem_5_4_dW_by_differences_of_the_cost(problem, layer):
    _, dW, _ = paper.backward(*problem)
    assert_same(dW[layer], cost_gradient_in_W(layer, problem))


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_theorem_5_4_db_by_differences_of_the_cost(problem, layer):
    _, _, db = paper.backward(*problem)
    assert_same(db[layer], cost_gradient_in_b(layer, problem))


def test_remark_5_2_rows_give_the_transposed_gradients(problem):
    X, Y, W, b, *rest = problem
    transposed = [[None if M is None else M.T for M in Ms] for Ms in (W, b)]
    _, dW, db = paper.backward(*problem)
    dW_rows, db_rows = paper.backward_rows(X.T, Y.T, *transposed, *rest)
    for ours, theirs in zip(dW_rows[1:] + db_rows[1:], dW[1:] + db[1:], strict=True):
        assert_same(ours.T, theirs, 1e-13)


# ------------------------------------------------------------------------------ section 6


@pytest.mark.parametrize("pair", PAIRS)
def test_theorem_6_1_delta_is_o_minus_y(pair, rng):
    """(27), (33), the end of section 6.3, and Poisson with exp, which the paper does not have."""
    output, m = paper.OUTPUTS[pair], 1 if pair == "binary_cross_entropy" else 4
    z, y = rng.normal(size=(m, 1)), targets(pair, m, 1, rng)
    by_differences = gradient(lambda z: output.loss(output.activation(z), y), z)
    assert_same(paper.output_delta(output.activation(z), y), by_differences)


def test_equation_26_is_half_the_squared_norm(rng):
    o, y = rng.normal(size=(2, 3, 5))
    expected = np.array([np.linalg.norm(o[:, k] - y[:, k]) ** 2 / 2 for k in range(5)])
    assert_same(paper.squared_error(o, y), expected, 1e-14)


def test_equation_39_softmax_jacobian(rng):
    z = rng.normal(size=(5, 1))
    assert_same(paper.d_softmax(z), jacobian(paper.softmax, z))


def test_softmax_delta_is_equation_39_applied_to_the_gradient_in_o(rng):
    z, y = rng.normal(size=(5, 1)), np.eye(5)[:, [2]]
    o = paper.softmax(z)
    assert_same(paper.output_delta(o, y), paper.d_softmax(z).T @ (-y / o), 1e-14)


def test_code_3_is_theorem_5_4_without_a_hidden_layer(rng):
    """(28)-(32)."""
    X, y, (W, b) = rng.normal(size=(3, 9)), rng.normal(size=(1, 9)), network([3, 1], rng)
    dW, db = paper.linear_regression_gradients(X, y, W[1], b[1])
    _, dW_, db_ = paper.backward(X, y, W, b, *IDENTITY, paper.OUTPUTS["squared_error"])
    assert_same(np.hstack([dW, db]), np.hstack([dW_[1], db_[1]]), 1e-15)


def test_code_3_descends_to_least_squares(rng):
    X, y = rng.normal(size=(3, 30)), rng.normal(size=(1, 30))
    start = [None, np.zeros((1, 3))], [None, np.zeros((1, 1))]
    pair = paper.OUTPUTS["squared_error"]
    W, b, _ = paper.gradient_descent(X, y, *start, *IDENTITY, pair, n_iter=400, learning_rate=0.3)
    solution = np.linalg.lstsq(np.vstack([X, np.ones(30)]).T, y.T)[0].T
    assert_same(np.hstack([W[1], b[1]]), solution, 1e-12)


def test_code_4_makes_the_cost_smaller_at_every_step(rng):
    W, b = network([4, 6, 5, 3], rng)
    X, Y = rng.normal(size=(4, 20)), targets("categorical_cross_entropy", 3, 20, rng)
    pair, relu = paper.OUTPUTS["categorical_cross_entropy"], paper.ACTIVATIONS["relu"]
    _, _, costs = paper.gradient_descent(X, Y, W, b, *relu, pair, n_iter=50, learning_rate=0.1)
    assert np.all(np.diff(costs) < 0)


# ---------------------------------------------- the paper's slips, as docs/paper.md tells them


def test_slip_softmax_along_axis_1_does_not_give_distributions_in_columns(rng):
    Z = rng.normal(size=(4, 6))
    code_1 = np.exp(Z) / np.sum(np.exp(Z), axis=1, keepdims=True)
    assert np.max(np.abs(code_1.sum(axis=0) - 1)) > 0.1


def test_slip_section_6_3_with_o_for_y_would_be_zero(rng):
    """The chain as printed, -sum_i o_i (delta_ij - o_j), vanishes; with y_i it is o_j - y_j."""
    o, y = paper.softmax(rng.normal(size=(5, 1))), np.eye(5)[:, [2]]
    factor = np.eye(5) - o.T  # (delta_ij - o_j)
    np.testing.assert_allclose(-np.sum(o * factor, axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(-np.sum(y * factor, axis=0), (o - y)[:, 0], atol=1e-15)


def test_slip_section_6_3_needs_targets_that_sum_to_one(rng):
    """What the last line uses is sum y_i = 1; for any other y the gradient is (sum y_i) o - y."""
    z, y = rng.normal(size=(4, 1)), np.array([[0.5], [0.2], [0.0], [0.7]])
    by_differences = gradient(lambda z: paper.categorical_cross_entropy(paper.softmax(z), y), z)
    assert_same(y.sum() * paper.softmax(z) - y, by_differences)
    assert np.max(np.abs(paper.output_delta(paper.softmax(z), y) - by_differences)) > 0.01


def test_slip_relu_and_relu_eps_differ_in_floating_point_at_figure_2_s_epsilon():
    """Doubles near 0 are far finer than 1e-32: they go down to 5e-324."""
    z = np.array(-0.5e-32)
    assert paper.relu_eps(z, 1e-32) == -0.25e-32


def test_slip_softmax_is_one_only_for_a_single_class(rng):
    assert paper.softmax(rng.normal(size=(1, 1))) == 1
    assert np.all(paper.softmax(rng.normal(size=(2, 50))) < 1)
