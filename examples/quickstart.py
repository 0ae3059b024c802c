"""The three estimators on real data, each beside scikit-learn's MLP with the same settings.

Every network stands at the end of a pipeline. It is cross-validated on three rows in four
(accuracy, or R2 for diabetes); then its penalty and its hidden layers are searched by two
processes, and the best of them is scored on the rows held out. The third row of each data
set is ours at its defaults.
"""

from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor

ROW = "{:<14} {:<20} {:>15} {:>10}   {:<38} {:>8}"


def row(name, scoring, network, grid, X, y, X_test, y_test):
    """Cross-validate a network in a pipeline, search its grid, and print a row."""
    model = Pipeline([("scale", StandardScaler()), ("net", network)])
    folds = cross_validate(model, X, y, cv=5, scoring=scoring)
    score, fit = folds["test_score"], folds["fit_time"]
    search = GridSearchCV(model, grid, cv=3, scoring=scoring, n_jobs=2).fit(X, y)
    best = ", ".join(f"{key[5:]}={value}" for key, value in search.best_params_.items())
    cells = f"{score.mean():.3f} +- {score.std():.3f}", f"{fit.mean():.3f} s"
    held_out = f"{search.score(X_test, y_test):.3f}"
    print(
        ROW.format(name, type(network).__name__, *cells, best or "defaults", held_out), flush=True
    )


def compare(name, load, scoring, Ours, Theirs, rate, layers):
    """Print three rows: the two with the same settings, and ours with none at all."""
    X, y = load(return_X_y=True)
    labels = y if scoring == "accuracy" else None
    X, X_test, y, y_test = train_test_split(X, y, stratify=labels, random_state=42)
    same = dict(alpha=1.0, learning_rate_init=rate, max_iter=1000, random_state=0)
    grid = {"net__hidden_layer_sizes": layers, "net__alpha": [1.0, 10.0, 100.0]}
    data = X, y, X_test, y_test
    row(name, scoring, Theirs(hidden_layer_sizes=layers[0], **same), grid, *data)
    row(name, scoring, Ours.plain(hidden_layer_sizes=layers[0], **same), grid, *data)
    row(name, scoring, Ours(random_state=0), {"net__alpha": [0.0001]}, *data)


if __name__ == "__main__":
    print(ROW.format("data", "estimator", "5-fold score", "fit", "best of the grid", "held out"))
    compare(
        "digits", load_digits, "accuracy", DNNClassifier, MLPClassifier, 0.01, [(50,), (50, 50)]
    )
    pair = DNNBinaryClassifier, MLPClassifier
    compare("breast cancer", load_breast_cancer, "accuracy", *pair, 0.01, [(20,), (20, 20)])
    compare("diabetes", load_diabetes, "r2", DNNRegressor, MLPRegressor, 0.1, [(10,), (20,)])
