"""The paper's experiment [3], run again: Theorem 5.4 against PyTorch's autograd.

A softmax network with two relu layers is trained on the digits. Then every dW and db of its cost,
on rows it has not seen, is compared with three other ways to differentiate: PyTorch's autograd on
PyTorch's own functions (left out where PyTorch is not installed), the complex step, and central
differences. A figure is the largest difference over the largest entry of the array.
"""

from importlib.util import find_spec

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdnn import DNNClassifier
from skdnn.verify import check_gradients

# What is left between the two is rounding; a difference also has the error of its finite step.
LIMITS = {"autograd": 1e-12, "complex-step": 1e-12, "central": 1e-6}

X, y = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=60, stratify=y, random_state=0)
model = DNNClassifier.plain(
    hidden_layer_sizes=(32, 16),
    scale_inputs="standard",
    learning_rate_init=0.01,
    learning_rate="cosine",
    max_iter=10,
    random_state=0,
).fit(X, y)
print(f"softmax network of widths {[X.shape[1], *map(len, model.biases_)]}, {X.dtype}")
print(f"J = {model.loss_:.4f} after {model.n_iter_} epochs on {len(y)} digits;", end=" ")
print(f"accuracy on {len(y_new)} others: {model.score(X_new, y_new):.3f}\n")

if find_spec("torch") is None:
    print("PyTorch is not installed, so its column is missing: pip install torch\n")
    del LIMITS["autograd"]

checks = [check_gradients(model, X_new, y_new, method=method) for method in LIMITS]
print(f"{'array':<6}{'shape':>10}", *(f"{check.method:>14}" for check in checks))
for arrays in zip(*(check.arrays for check in checks), strict=True):
    first = arrays[0]
    figures = (f"{array.relative:14.1e}" for array in arrays)
    print(f"d{first.name:<5}{first.shape!s:>10}", *figures)
print(f"{'largest':<16}", *(f"{check.max_relative_error:14.1e}" for check in checks))
print(f"{'at kinks':<16}", *(f"{sum(a.at_kinks for a in c.arrays):>14}" for c in checks))

for check in checks:
    assert check.max_relative_error <= LIMITS[check.method], check
print("\nEvery gradient agrees:", ", ".join(f"{m} to {limit:g}" for m, limit in LIMITS.items()))
