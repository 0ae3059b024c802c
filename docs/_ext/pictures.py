"""What the pictures of "the paper, executed" share: colours, and a small network on the digits."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdnn import DNNClassifier
from tests import paper

# Okabe and Ito's, which readers of every colour vision can tell apart.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6b6b6b"


class Digits(NamedTuple):
    """A fitted softmax network of widths 64, 32, 16, 10, and digits that it has not seen.

    W and b are indexed 1..L as in the paper, X has its samples in columns, Y is one-hot.
    """

    model: DNNClassifier
    W: list[Any]
    b: list[Any]
    X: np.ndarray
    Y: np.ndarray
    labels: np.ndarray


@cache
def digits() -> Digits:
    """Fit the network; its inputs are the pixels over 16, and nothing is added to the paper."""
    X, y = load_digits(return_X_y=True)
    X, X_new, y, y_new = train_test_split(X / 16, y, test_size=200, stratify=y, random_state=0)
    model = DNNClassifier.plain(
        hidden_layer_sizes=(32, 16),
        alpha=0,
        learning_rate_init=0.005,
        learning_rate="cosine",
        max_iter=12,
        random_state=0,
    ).fit(X, y)
    W, b = [None, *model.weights_], [None, *model.biases_]
    return Digits(model, W, b, X_new.T, np.eye(10)[y_new].T, y_new)


def forward(x: np.ndarray) -> Any:
    """Z and A of the network at the columns x, by the specification."""
    net = digits()
    return paper.forward(x, net.W, net.b, paper.relu, paper.softmax)
