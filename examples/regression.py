"""DNNRegressor on the digits: draw the lower half of a digit, given the upper half.

32 pixels in, 32 targets out, all fitted by one network; a straight line stands beside it.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split

from skdnn import DNNRegressor

SHADES = " .:-=+*#%@"

pixels = load_digits().data  # 8 rows of 8 pixels from 0 to 16
X, X_test, Y, Y_test = train_test_split(
    pixels[:, :32] / 16, pixels[:, 32:] / 16, test_size=0.3, random_state=0
)


def network(layers, **settings):
    settings = {"alpha": 1.0, "learning_rate_init": 0.01, "random_state": 0, **settings}
    return DNNRegressor(hidden_layer_sizes=layers, **settings).fit(X, Y)


# Without a hidden layer the objective is that of ridge regression, and so is the answer.
models = {
    "Ridge(alpha=1)": Ridge(alpha=1.0).fit(X, Y),
    "no hidden layer": network((), solver="lbfgs", alpha=1.0, tol=1e-6, max_iter=1000),
    "20": network((20,)),
    "100": network((100,)),
    "100, 100": network((100, 100)),
}
print(f"{len(X)} digits to train on, {len(X_test)} to test\n")
print(f"{'hidden units':<16} {'R2':>6} {'R2 in training':>15} {'error in grey levels':>21}")
for name, model in models.items():
    R2 = [
        r2_score(truth, model.predict(rows), multioutput="variance_weighted")
        for rows, truth in ((X_test, Y_test), (X, Y))
    ]
    error = 16 * mean_absolute_error(Y_test, model.predict(X_test))
    print(f"{name:<16} {R2[0]:>6.3f} {R2[1]:>15.3f} {error:>21.2f}")


def drawn(lower, k):
    """The rows of digit k as text, with this lower half."""
    grey = np.clip(np.concatenate([X_test[k], lower[k]]).reshape(8, 8), 0, 1)
    return ["".join(2 * SHADES[int(9 * g)] for g in row) for row in grey]


halves = [Y_test, models["Ridge(alpha=1)"].predict(X_test), models["100, 100"].predict(X_test)]
for k in (2, 5):
    print(f"\n{'a digit':<20}{'the line':<20}{'the network':<20}")
    for y, line in enumerate(zip(*(drawn(half, k) for half in halves), strict=True)):
        print("    ".join(line) + ("   given" if y == 3 else ""))
