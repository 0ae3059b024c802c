"""The paper's formulas as a program: the executable specification of skdnn's core.

Y. H. Park, "Gradients in a deep neural network and their Python implementations" (2022). Each
function is one equation, or one group of them, written for the eye: it allocates, it repeats work,
and it imports NumPy alone. Samples are columns. Lists over the layers are indexed 1..L as in the
paper; entry 0 is ``None``, or the input for `A`. A vector (lower case) is a matrix with one column.

Nothing here is guarded against overflow: that is the library's business, which is tested against
this file where both are accurate.
"""

import math
from typing import NamedTuple

import numpy as np

# ---------------------------------------------------------------- section 3: activation functions


def relu(z):
    """max(0, z)."""
    return np.maximum(0, z)


def d_relu(z, at_zero=0):
    """Equation (1), its value at 0 left open: (1) takes 1; 0 is allowed below it, and our pick."""
    return np.where(z == 0, at_zero, z > 0).astype(float)


def relu_eps(z, eps):
    """The differentiable relu: a quartic in t = z / eps between -eps and 0, relu elsewhere."""
    t = z / eps
    return np.where((-1 <= t) & (t <= 0), eps * (-2 * t**4 - 3 * t**3 + t), relu(z))


def d_relu_eps(z, eps):
    """Lemma 3.1: the slope of `relu_eps`, 1 from 0 on and 0 up to -eps."""
    t = z / eps
    return np.where((-1 <= t) & (t <= 0), -8 * t**3 - 9 * t**2 + 1, z > 0)


def sigmoid(z):
    """1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def d_sigmoid(z):
    """Equation (2)."""
    return sigmoid(z) * (1 - sigmoid(z))


def softmax(z):
    """exp(z_i) / sum_k exp(z_k) in each column."""
    return np.exp(z) / np.sum(np.exp(z), axis=0, keepdims=True)


def d_softmax(z):
    """Equation (39): the Jacobian o_i (delta_ij - o_j) at one column z."""
    o = softmax(z)
    return np.diagflat(o) - o @ o.T


def _normal_cdf(z):
    return np.vectorize(lambda t: (1 + math.erf(t / math.sqrt(2))) / 2, otypes=[float])(z)


def _normal_pdf(z):
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _tanh_softplus(z):
    return np.tanh(np.log(1 + np.exp(z)))


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

# The paper's g is any differentiable function from R to R, extended to arrays by (4): g and g'.
ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "logistic": (sigmoid, d_sigmoid),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (relu, d_relu),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1.0, 0.01)),
    "elu": (lambda z: np.where(z > 0, z, np.exp(z) - 1), lambda z: np.where(z > 0, 1.0, np.exp(z))),
    "selu": (
        lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * (np.exp(z) - 1)),
        lambda z: SELU_SCALE * np.where(z > 0, 1.0, SELU_ALPHA * np.exp(z)),
    ),
    "gelu": (lambda z: z * _normal_cdf(z), lambda z: _normal_cdf(z) + z * _normal_pdf(z)),
    "silu": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) + z * d_sigmoid(z)),
    "mish": (
        lambda z: z * _tanh_softplus(z),
        lambda z: _tanh_softplus(z) + z * sigmoid(z) * (1 - _tanh_softplus(z) ** 2),
    ),
    "softplus": (lambda z: np.log(1 + np.exp(z)), sigmoid),
}

# ---------------------------------------------------------------- section 4: one layer, one sample


def linear_output(W, x, b):
    """Equation (3): z = W x + b. With a matrix of samples in place of x it is Z = W X + b."""
    return W @ x + b


def linear_output_componentwise(W, x, b):
    """Equation (5): z_i = sum_j w_ij x_j + b_i."""
    m, n = W.shape
    return np.array([[sum(W[i, j] * x[j, 0] for j in range(n)) + b[i, 0]] for i in range(m)])


def activation_output(g, z):
    """Equation (4): a = (g(z_1), ..., g(z_m))^T."""
    return np.array([[g(z_i)] for z_i in z[:, 0]])


def dz_dx(W):
    """Equation (7)."""
    return W


def dz_db(W):
    """Equation (8)."""
    return np.eye(len(W))


def da_dz(dg, z):
    """Equation (9)."""
    return np.diagflat(dg(z))


def dS_dW_by_chain_rule(nabla_z, W, x):
    """Equation (6): dS/dw_ij = sum_k dS/dz_k dz_k/dw_ij, where dz_k/dw_ij = delta_ik x_j."""
    m, n = W.shape
    dS_dW = np.zeros((m, n))
    for i, j, k in np.ndindex(m, n, m):
        dS_dW[i, j] += nabla_z[k, 0] * (i == k) * x[j, 0]
    return dS_dW


def nabla_W(nabla_z, x):
    """Equation (10), and with it (11), (18), (28), (34): the gradient in W is nabla_z x^T."""
    return nabla_z @ x.T


# ------------------------------------------------- section 6: losses and their output activations


def squared_error(o, y):
    """L^2-loss (26): half the squared distance, for each column."""
    return np.sum((o - y) ** 2, axis=0) / 2


def binary_cross_entropy(o, y):
    """-[y log o + (1 - y) log(1 - o)], for each column."""
    return -np.sum(y * np.log(o) + (1 - y) * np.log(1 - o), axis=0)


def categorical_cross_entropy(o, y):
    """-sum_j y_j log o_j, for each column."""
    return -np.sum(y * np.log(o), axis=0)


def poisson_loss(o, y):
    """Not in the paper, a canonical link all the same: y log(y / o) - y + o, for each column."""
    y_log_y = np.where(y == 0, 0, y * np.log(np.where(y == 0, 1, y)))
    return np.sum(y_log_y - y * np.log(o) - y + o, axis=0)


class Output(NamedTuple):
    """An output activation and the loss that goes with it (Theorem 6.1)."""

    activation: object
    loss: object


OUTPUTS = {
    "squared_error": Output(lambda z: z, squared_error),
    "binary_cross_entropy": Output(sigmoid, binary_cross_entropy),
    "categorical_cross_entropy": Output(softmax, categorical_cross_entropy),
    "poisson": Output(np.exp, poisson_loss),
}


def output_delta(o, y):
    """Theorem 6.1, (27), (33): delta = o - y, whichever of the pairs it is."""
    return o - y


# -------------------------------------------------------------------- section 5: the whole network


def forward(X, W, b, g, output_activation):
    """Section 5.1, codes 2 and 4: Z and A; g in layers 1..L-1, the output activation in L."""
    L = len(W) - 1
    Z, A = [None] * (L + 1), [X] + [None] * L
    for i in range(1, L):
        Z[i] = linear_output(W[i], A[i - 1], b[i])
        A[i] = g(Z[i])
    Z[L] = linear_output(W[L], A[L - 1], b[L])
    A[L] = output_activation(Z[L])
    return Z, A


def cost(X, Y, W, b, g, output):
    """J: the mean of the losses over the samples."""
    _, A = forward(X, W, b, g, output.activation)
    return np.sum(output.loss(A[-1], Y)) / X.shape[1]


def nabla_a(W, delta):
    """Equations (13) and (16): the gradient in the input of the layer is W^T delta."""
    return W.T @ delta


def previous_delta_by_diag(dg, z_previous, W, delta):
    """Equation (14): delta of the layer before, as a product with a diagonal matrix."""
    return da_dz(dg, z_previous) @ nabla_a(W, delta)


def previous_delta(dg, z_previous, W, delta):
    """Equations (15) and (17): the same, as a componentwise product."""
    return dg(z_previous) * nabla_a(W, delta)


def layer_gradients(delta, a_previous):
    """Equations (11), (12) and (18), (19): the gradients of one sample's loss in W and b."""
    return nabla_W(delta, a_previous), delta


def backward_one_sample(x, y, W, b, g, dg, output):
    """Theorem 5.1 from layer L down to 1, for one sample: delta and the gradients in W and b."""
    L = len(W) - 1
    z, a = forward(x, W, b, g, output.activation)
    delta, grad_W, grad_b = [None] * (L + 1), [None] * (L + 1), [None] * (L + 1)
    delta[L] = output_delta(a[L], y)  # Theorem 6.1
    grad_W[L], grad_b[L] = layer_gradients(delta[L], a[L - 1])  # (18), (19)
    for i in range(L - 1, 0, -1):
        delta[i] = previous_delta(dg, z[i], W[i + 1], delta[i + 1])  # (17)
        grad_W[i], grad_b[i] = layer_gradients(delta[i], a[i - 1])  # (18), (19)
    return delta, grad_W, grad_b


def sum_of_columns(dZ):
    """The right side of (20), (25), (32) and (38)."""
    return np.sum(dZ, axis=1, keepdims=True)


def backward(X, Y, W, b, g, dg, output):
    """Theorem 5.4 from layer L down to 1, for all samples at once: lists of dZ, dW and db."""
    N = X.shape[1]
    L = len(W) - 1
    Z, A = forward(X, W, b, g, output.activation)
    dA, dZ, dW, db = [[None] * (L + 1) for _ in range(4)]
    dZ[L] = output_delta(A[L], Y) / N  # (21), (30), (36)
    dW[L] = dZ[L] @ A[L - 1].T  # (24), (31), (37)
    db[L] = sum_of_columns(dZ[L])  # (25), (32), (38)
    for i in range(L - 1, 0, -1):
        dA[i] = W[i + 1].T @ dZ[i + 1]  # (22)
        dZ[i] = dg(Z[i]) * dA[i]  # (23)
        dW[i] = dZ[i] @ A[i - 1].T  # (24)
        db[i] = sum_of_columns(dZ[i])  # (25)
    return dZ, dW, db


def backward_rows(X, Y, W, b, g, dg, output):
    """Remark 5.2: Theorem 5.4 transposed, with samples in rows.

    W[l] has shape (n[l-1], n[l]) and b[l] is a row.
    """
    L = len(W) - 1
    Z, A = [None] * (L + 1), [X] + [None] * L
    for i in range(1, L + 1):
        Z[i] = A[i - 1] @ W[i] + b[i]
        A[i] = g(Z[i]) if i < L else output.activation(Z[i].T).T
    dW, db = [None] * (L + 1), [None] * (L + 1)
    dZ = (A[L] - Y) / len(X)
    for i in range(L, 0, -1):
        dW[i] = A[i - 1].T @ dZ
        db[i] = np.sum(dZ, axis=0, keepdims=True)
        if i > 1:
            dZ = dg(Z[i - 1]) * (dZ @ W[i].T)
    return dW, db


# ------------------------------------------------------------ codes 3 and 4: batch gradient descent


def linear_regression_gradients(X, y, W, b):
    """Code 3, equations (30)-(32): no hidden layer, identity, squared error."""
    dZ = (linear_output(W, X, b) - y) / X.shape[1]
    return dZ @ X.T, sum_of_columns(dZ)


def gradient_descent(X, Y, W, b, g, dg, output, n_iter, learning_rate):
    """Codes 3 and 4: n_iter steps W <- W - alpha dW, b <- b - alpha db; the costs before each."""
    costs = []
    for _ in range(n_iter):
        costs.append(cost(X, Y, W, b, g, output))
        _, dW, db = backward(X, Y, W, b, g, dg, output)
        W = [None] + [W[i] - learning_rate * dW[i] for i in range(1, len(W))]
        b = [None] + [b[i] - learning_rate * db[i] for i in range(1, len(b))]
    return W, b, costs
