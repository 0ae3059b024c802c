"""Scripts written for scikit-learn's networks run with another class in the place of theirs.

The bodies are what tutorials do, in their words: `MLPClassifier` and `MLPRegressor` are the
arguments of the tests, which are run with scikit-learn's classes and with ours.
"""

import warnings

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn import neural_network
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    make_circles,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.metrics import (
    classification_report,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    roc_auc_score,
)
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, MultiLabelBinarizer, StandardScaler

import skdnn
from tests.cases import UNCONVERGED

pytestmark = UNCONVERGED


def swapped(name, *ours):
    """Run a test with scikit-learn's class and with these of ours in its place."""
    classes = [getattr(neural_network, name), *(getattr(skdnn, our) for our in ours)]
    return pytest.mark.parametrize(name, classes, ids=lambda Estimator: Estimator.__name__)


many_classes = swapped("MLPClassifier", "DNNClassifier")
two_classes = swapped("MLPClassifier", "DNNClassifier", "DNNBinaryClassifier")
label_sets = swapped("MLPClassifier", "DNNBinaryClassifier")
regression = swapped("MLPRegressor", "DNNRegressor")


# Digits


@many_classes
def test_digits_in_a_pipeline(MLPClassifier):
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=42)
    pipe = Pipeline(
        [
            ("scaler", StandardScaler()),
            ("mlp", MLPClassifier(hidden_layer_sizes=(50,), max_iter=50, random_state=1)),
        ]
    )
    pipe.fit(X_train, y_train)
    y_pred = pipe.predict(X_test)
    assert pipe.score(X_test, y_test) > 0.95
    assert "weighted avg" in classification_report(y_test, y_pred)
    assert confusion_matrix(y_test, y_pred).trace() > 0.95 * len(y_test)
    assert np.allclose(pipe.predict_proba(X_test).sum(axis=1), 1)
    pipe.set_params(mlp__alpha=1e-2, mlp__max_iter=20)
    assert cross_val_score(pipe, X_train, y_train, cv=3).mean() > 0.8


@many_classes
def test_digits_and_the_weights_of_the_first_layer(MLPClassifier, capsys):
    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, test_size=0.7)
    mlp = MLPClassifier(
        hidden_layer_sizes=(40,),
        max_iter=8,
        alpha=1e-4,
        solver="sgd",
        verbose=10,
        random_state=1,
        learning_rate_init=0.2,
    )
    if "scale_inputs" in mlp.get_params():
        mlp.set_params(scale_inputs="clipped")  # as the migration page says of coefs_
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
        mlp.fit(X_train, y_train)
    assert len(capsys.readouterr().out.splitlines()) >= mlp.n_iter_
    assert mlp.score(X_test, y_test) > 0.7
    vmin, vmax = mlp.coefs_[0].min(), mlp.coefs_[0].max()
    images = [coef.reshape(8, 8) for coef in mlp.coefs_[0].T]
    assert len(images) == 40
    assert vmin < 0 < vmax


# Text

SPORT = "the team won the match with a late goal|our player scored twice in the final game"
SPORT += "|the coach praised the defence after the match|fans cheered the team to the title"
SPORT += "|the striker missed a penalty in the game|the league season ends with a final match"
SPACE = "the rocket reached orbit after launch|a probe sent images of the planet and its moon"
SPACE += "|astronauts repaired the station in orbit|the telescope saw a distant planet"
SPACE += "|the launch of the satellite was delayed|a moon lander carries the telescope to orbit"
FOOD = "simmer the sauce and season the soup with salt|bake the bread in a hot oven"
FOOD += "|slice the onion and fry it in butter|the soup needs more salt and fresh bread"
FOOD += "|whisk the butter with sugar for the cake|roast the onion in the oven with oil"
DOCUMENTS = [*SPORT.split("|"), *SPACE.split("|"), *FOOD.split("|")]
TOPICS = ["sport"] * 6 + ["space"] * 6 + ["food"] * 6
NEW = ["a late goal in the game", "the probe left orbit for the moon", "bread with butter and salt"]


@many_classes
def test_text_in_a_pipeline(MLPClassifier):
    clf = make_pipeline(
        TfidfVectorizer(stop_words="english", sublinear_tf=True),
        MLPClassifier(hidden_layer_sizes=(20,), random_state=0, learning_rate_init=0.01),
    )
    clf.fit(DOCUMENTS, TOPICS)
    assert clf.predict(NEW).tolist() == ["sport", "space", "food"]
    assert clf.classes_.tolist() == ["food", "space", "sport"]
    assert clf.predict_proba(NEW).argmax(axis=1).tolist() == [2, 1, 0]


@many_classes
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
def test_text_with_counts_turned_to_frequencies(MLPClassifier, solver):
    text_clf = Pipeline(
        [
            ("vect", CountVectorizer()),
            ("tfidf", TfidfTransformer()),
            ("clf", MLPClassifier((10,), solver=solver, alpha=1e-3, random_state=42)),
        ]
    )
    text_clf.set_params(clf__learning_rate_init=0.05, clf__batch_size=6).fit(DOCUMENTS, TOPICS)
    assert np.mean(text_clf.predict(DOCUMENTS) == TOPICS) > 0.9


@many_classes
def test_text_in_portions(MLPClassifier):
    vectorizer = TfidfVectorizer().fit(DOCUMENTS)
    clf = MLPClassifier(random_state=0, learning_rate_init=0.01)
    order = np.random.default_rng(0).permutation(len(DOCUMENTS))
    for _ in range(60):
        for portion in np.array_split(order, 3):
            X = vectorizer.transform([DOCUMENTS[i] for i in portion])
            clf.partial_fit(X, [TOPICS[i] for i in portion], classes=sorted(set(TOPICS)))
    assert clf.predict(vectorizer.transform(NEW)).tolist() == ["sport", "space", "food"]


# Several labels


@label_sets
def test_labels_of_the_user_guide(MLPClassifier):
    X = [[0.0, 0.0], [1.0, 1.0]]
    y = [[0, 1], [1, 1]]
    clf = MLPClassifier(solver="lbfgs", alpha=1e-5, hidden_layer_sizes=(15,), random_state=1)
    clf.fit(X, y)
    assert clf.predict([[1.0, 2.0]]).tolist() == [[1, 1]]
    assert clf.predict([[0.0, 0.0]]).tolist() == [[0, 1]]


@label_sets
def test_several_labels(MLPClassifier):
    X, Y = make_multilabel_classification(300, n_features=15, n_classes=4, random_state=0)
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)
    clf = make_pipeline(StandardScaler(), MLPClassifier(max_iter=300, random_state=0))
    clf.fit(X_train, Y_train)
    assert f1_score(Y_test, clf.predict(X_test), average="micro") > 0.7
    assert roc_auc_score(Y_test, clf.predict_proba(X_test), average="macro") > 0.8


@label_sets
def test_labels_from_sets_of_words(MLPClassifier):
    tags = [{"ball"}, {"ball", "win"}, {"sky"}, {"sky", "win"}] * 5
    X = np.array([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1]] * 5, dtype=float)
    mlb = MultiLabelBinarizer()
    clf = MLPClassifier(solver="lbfgs", random_state=0).fit(X, mlb.fit_transform(tags))
    assert mlb.inverse_transform(clf.predict(X[:4])) == [tuple(sorted(t)) for t in tags[:4]]


# Several targets, and one


@regression
def test_several_targets(MLPRegressor):
    X, Y = load_linnerud(return_X_y=True)
    scaler_X, scaler_Y = MinMaxScaler(), MinMaxScaler()
    X_scaled, Y_scaled = scaler_X.fit_transform(X), scaler_Y.fit_transform(Y)
    reg = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=500, random_state=1)
    reg.fit(X_scaled, Y_scaled)
    predicted = scaler_Y.inverse_transform(reg.predict(X_scaled))
    assert predicted.shape == Y.shape
    assert mean_absolute_error(Y, predicted) < mean_absolute_error(Y, Y.mean(axis=0) + 0 * Y)


@regression
def test_one_target_transformed_and_stopped_early(MLPRegressor):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    est = TransformedTargetRegressor(
        make_pipeline(
            StandardScaler(),
            MLPRegressor(
                hidden_layer_sizes=(30, 15),
                learning_rate_init=0.01,
                early_stopping=True,
                random_state=0,
            ),
        ),
        transformer=StandardScaler(),
    )
    est.fit(X_train, y_train)
    assert est.score(X_test, y_test) > 0.15
    assert est.predict(X_test).shape == y_test.shape


@regression
def test_a_curve_through_points(MLPRegressor):
    x = np.arange(0.0, 1, 0.01).reshape(-1, 1)
    y = np.sin(2 * np.pi * x).ravel()
    nn = MLPRegressor(
        hidden_layer_sizes=(10,),
        activation="tanh",
        solver="lbfgs",
        alpha=0.001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.01,
        power_t=0.5,
        max_iter=1000,
        shuffle=True,
        random_state=9,
        tol=0.0001,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-08,
    )
    nn.fit(x, y)
    test_x = np.arange(0.0, 1, 0.05).reshape(-1, 1)
    assert np.abs(nn.predict(test_x) - np.sin(2 * np.pi * test_x).ravel()).max() < 0.1


# Curves, early stopping, warm starts

STRATEGIES = [
    {"solver": "sgd", "learning_rate": "constant", "momentum": 0, "learning_rate_init": 0.2},
    {
        "solver": "sgd",
        "learning_rate": "constant",
        "momentum": 0.9,
        "nesterovs_momentum": False,
        "learning_rate_init": 0.2,
    },
    {
        "solver": "sgd",
        "learning_rate": "constant",
        "momentum": 0.9,
        "nesterovs_momentum": True,
        "learning_rate_init": 0.2,
    },
    {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0, "learning_rate_init": 0.2},
    {
        "solver": "sgd",
        "learning_rate": "invscaling",
        "momentum": 0.9,
        "nesterovs_momentum": True,
        "learning_rate_init": 0.2,
    },
    {"solver": "adam", "learning_rate_init": 0.01},
]


@many_classes
def test_strategies_compared_by_their_curves(MLPClassifier):
    iris = load_iris()
    X = MinMaxScaler().fit_transform(iris.data)
    mlps = []
    for param in STRATEGIES:
        mlp = MLPClassifier(random_state=0, max_iter=100, **param)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
            mlp.fit(X, iris.target)
        assert mlp.loss_ < mlp.loss_curve_[0]
        assert len(mlp.loss_curve_) == mlp.n_iter_
        mlps.append(mlp)
    assert min(mlp.score(X, iris.target) for mlp in mlps[:3] + mlps[5:]) > 0.9


@two_classes
def test_early_stopping(MLPClassifier):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=1)
    mlp = MLPClassifier(
        hidden_layer_sizes=(30,),
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=15,
        tol=1e-3,
        max_iter=300,
        random_state=1,
    ).fit(X_train, y_train)
    assert mlp.n_iter_ < 300
    assert mlp.best_validation_score_ == max(mlp.validation_scores_)
    assert mlp.score(X_test, y_test) > 0.88
    assert roc_auc_score(y_test, mlp.predict_proba(X_test)[:, 1]) > 0.95


@two_classes
def test_a_warm_start_loop(MLPClassifier):
    X, y = make_circles(200, noise=0.1, factor=0.4, random_state=1)
    mlp = MLPClassifier(
        hidden_layer_sizes=(20,),
        warm_start=True,
        max_iter=1,
        random_state=1,
        learning_rate_init=0.02,
    )
    scores = []
    for _ in range(60):
        mlp.fit(X, y)
        scores.append(mlp.score(X, y))
    assert scores[-1] > 0.95
    assert len(mlp.loss_curve_) == 60


@two_classes
def test_a_loop_over_mini_batches(MLPClassifier):
    X, y = make_circles(200, noise=0.1, factor=0.4, random_state=1)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
    mlp = MLPClassifier(hidden_layer_sizes=(20,), random_state=1, learning_rate_init=0.02)
    n_train_samples, batch = X_train.shape[0], 30
    scores_train, scores_test = [], []
    for _epoch in range(30):
        random_perm = np.random.RandomState(0).permutation(n_train_samples)
        for start in range(0, n_train_samples, batch):
            indices = random_perm[start : start + batch]
            mlp.partial_fit(X_train[indices], y_train[indices], classes=np.unique(y))
        scores_train.append(1 - mlp.score(X_train, y_train))
        scores_test.append(1 - mlp.score(X_test, y_test))
    assert scores_train[-1] < 0.1 < scores_train[0]
    assert scores_test[-1] < 0.15


# Searches


@many_classes
def test_a_grid_search(MLPClassifier):
    X, y = load_iris(return_X_y=True)
    param_grid = {
        "mlpclassifier__hidden_layer_sizes": [(10,), (10, 10)],
        "mlpclassifier__solver": ["sgd", "adam", "lbfgs"],
        "mlpclassifier__alpha": [1e-4, 1e-1],
        "mlpclassifier__learning_rate": ["constant", "adaptive"],
    }
    mlp = MLPClassifier(max_iter=30, learning_rate_init=0.02, random_state=0)
    pipe = Pipeline([("scaler", StandardScaler()), ("mlpclassifier", mlp)])
    grid = GridSearchCV(pipe, param_grid, cv=2, scoring="accuracy", error_score="raise")
    grid.fit(X, y)
    assert grid.best_score_ > 0.9
    assert len(grid.cv_results_["params"]) == 24
    assert grid.best_estimator_.predict(X).shape == (150,)


@regression
def test_a_randomized_search(MLPRegressor):
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    pipe = Pipeline([("scale", StandardScaler()), ("mlp", MLPRegressor(max_iter=30))])
    pipe.set_params(mlp__random_state=0)
    space = {"mlp__alpha": loguniform(1e-5, 1e1), "mlp__hidden_layer_sizes": [(20,), (10, 10)]}
    search = RandomizedSearchCV(pipe, space, n_iter=4, cv=2, random_state=0)
    assert search.fit(X, y).best_score_ > 0.1


# Serving


@many_classes
def test_a_model_saved_and_served(MLPClassifier, tmp_path):
    X, y = load_iris(return_X_y=True, as_frame=True)
    pipe = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=50)).fit(X, y)
    joblib.dump(pipe, tmp_path / "model.joblib")
    served = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(served.predict_proba(X), pipe.predict_proba(X))
    assert clone(served)[-1].get_params() == pipe[-1].get_params()


@many_classes
def test_a_learning_curve(MLPClassifier):
    X, y = load_iris(return_X_y=True)
    mlp = MLPClassifier(solver="lbfgs", hidden_layer_sizes=(5,), alpha=0.1, random_state=0)
    sizes, _, test = learning_curve(mlp, X, y, train_sizes=[20, 60], cv=3, shuffle=True,
                                    random_state=0)  # fmt: skip
    assert sizes.tolist() == [20, 60]
    assert test.mean() > 0.8
