"""DNNClassifier on the digits: how it learns, what it confuses, and what that looks like."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skdnn import DNNClassifier

SHADES = " .:-=+*#%@"

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

network = DNNClassifier(
    hidden_layer_sizes=(64, 32), alpha=0.1, learning_rate_init=0.005, random_state=0
)
model = make_pipeline(MinMaxScaler(), network).fit(X_train, y_train)

print(f"{len(y_train)} digits of 8 x 8 pixels to train on, {len(y_test)} to test")
print(f"{network.n_iter_} epochs; the loss on the way down:")
for epoch in (1, 2, 5, 10, 20, network.n_iter_):
    loss = network.loss_curve_[epoch - 1]
    print(f"  epoch {epoch:>3}  {loss:7.4f}  {'#' * round(20 * loss)}")

predicted = model.predict(X_test)
print("\n" + classification_report(y_test, predicted, digits=3))

errors = confusion_matrix(y_test, predicted)
np.fill_diagonal(errors, 0)
print("Its most frequent mistakes:")
for cell in np.argsort(errors, axis=None)[::-1][:3]:
    truth, guess = np.unravel_index(cell, errors.shape)
    print(f"  {errors[truth, guess]} of {np.sum(y_test == truth)} {truth}s taken for a {guess}")

# The mistake it is surest of, drawn with a character for each grey level.
probabilities = model.predict_proba(X_test)
wrong = np.flatnonzero(predicted != y_test)
worst = wrong[np.argmax(probabilities[wrong].max(axis=1))]
print(f"\nThe mistake it is surest of: a {y_test[worst]} in truth")
for row in X_test[worst].reshape(8, 8):
    print("  " + "".join(SHADES[int(v * 9 / 16)] * 2 for v in row))
for digit in np.argsort(probabilities[worst])[::-1][:3]:
    print(f"  p({digit}) = {probabilities[worst, digit]:.3f}")
