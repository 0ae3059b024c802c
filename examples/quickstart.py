"""The three estimators on real data, each beside scikit-learn's MLP with the same settings.

Every network stands at the end of a pipeline. It is cross-validated on three rows in four;
then its penalty and its hidden layers are searched by two processes, and the best of them is
scored on the rows held out.
"""

from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor

ROW = "{:<14} {:<20} {:<9} {:>15} {:>10}   {:<27} {:>8}"


def compare(name, load, scoring, estimators, rate, layers):
    """Print a row for each estimator; `layers` are the hidden layers to choose from."""
    X, y = load(return_X_y=True)
    labels = y if scoring == "accuracy" else None
    X, X_test, y, y_test = train_test_split(X, y, stratify=labels, random_state=42)
    for estimator in estimators:
        network = estimator(
            hidden_layer_sizes=layers[0],
            alpha=1.0,
            learning_rate_init=rate,
            max_iter=1000,
            random_state=0,
        )
        model = Pipeline([("scale", StandardScaler()), ("net", network)])
        folds = cross_validate(model, X, y, cv=5, scoring=scoring)
        score, fit = folds["test_score"], folds["fit_time"]
        grid = {"net__hidden_layer_sizes": layers, "net__alpha": [1.0, 10.0, 100.0]}
        search = GridSearchCV(model, grid, cv=3, scoring=scoring, n_jobs=2).fit(X, y)
        best = search.best_estimator_["net"]
        cells = (
            f"{score.mean():.3f} +- {score.std():.3f}",
            f"{fit.mean():.3f} s",
            f"{best.hidden_layer_sizes}, alpha {best.alpha:g}",
            f"{search.score(X_test, y_test):.3f}",
        )
        print(ROW.format(name, estimator.__name__, scoring, *cells), flush=True)


if __name__ == "__main__":
    heading = "score", "5-fold CV", "fit", "best of the grid", "held out"
    print(ROW.format("data", "estimator", *heading))
    classifiers = (DNNClassifier, MLPClassifier)
    compare("digits", load_digits, "accuracy", classifiers, 0.01, [(50,), (50, 50)])
    classifiers = (DNNBinaryClassifier, MLPClassifier)
    compare("breast cancer", load_breast_cancer, "accuracy", classifiers, 0.01, [(20,), (20, 20)])
    compare("diabetes", load_diabetes, "r2", (DNNRegressor, MLPRegressor), 0.1, [(10,), (20,)])
