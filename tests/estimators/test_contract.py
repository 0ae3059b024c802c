"""The scikit-learn contract: check_estimator, its unlisted checks, and the tags."""

import pytest
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.activations import ACTIVATIONS
from tests.cases import ESTIMATORS

# What each estimator is checked with, and what it shares with the two others.
CONFIGURATIONS = [
    {},
    {"solver": "gd", "learning_rate_init": 0.05, "max_iter": 250},
    {"solver": "sgd", "learning_rate_init": 0.02},
    {"solver": "lbfgs", "max_iter": 10},
    {"hidden_layer_sizes": (), "learning_rate_init": 0.1},
    {"hidden_layer_sizes": (10, 10, 10, 10), "learning_rate_init": 0.01},
]
SHARED = [
    *({"activation": name, "learning_rate_init": 0.05, "max_iter": 60} for name in ACTIVATIONS),
    {"hidden_layer_sizes": (30, 30), "activation": ["tanh", "relu"]},
    {"hidden_layer_sizes": (), "solver": "lbfgs", "max_iter": 10},
    {"hidden_layer_sizes": 50, "batch_size": 10_000, "learning_rate_init": 0.01},
]


def plain_networks():
    """Return the estimators to check, all from the paper's plain network."""
    for Estimator in ESTIMATORS:
        for configuration in CONFIGURATIONS:
            estimator = Estimator.plain(**configuration)
            if estimator.solver in ("gd", "sgd") and Estimator is DNNRegressor:
                estimator.learning_rate_init /= 10  # unscaled targets make steep gradients
            yield estimator
    for i, configuration in enumerate(SHARED):
        yield ESTIMATORS[i % 3].plain(**configuration)


@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks fit toy data for a few epochs
@parametrize_with_checks([Estimator() for Estimator in ESTIMATORS])
def test_the_defaults_pass_every_check(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(list(plain_networks()))
def test_every_configuration_passes_every_check(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "check", [check_dataframe_column_names_consistency, check_param_validation]
)
def test_the_checks_that_scikit_learn_does_not_list_pass(Estimator, check):
    check(Estimator.__name__, Estimator())


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_sparse_input_is_declared(Estimator):
    assert get_tags(Estimator()).input_tags.sparse


def test_the_binary_classifier_declares_two_classes_and_multilabel():
    tags = get_tags(DNNBinaryClassifier()).classifier_tags
    assert (tags.multi_class, tags.multi_label) == (False, True)


def test_the_classifier_declares_several_classes_and_no_multilabel():
    tags = get_tags(DNNClassifier()).classifier_tags
    assert (tags.multi_class, tags.multi_label) == (True, False)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_plain_is_an_estimator_with_the_given_parameters(Estimator):
    estimator = Estimator.plain(max_iter=7)
    assert type(estimator) is Estimator
    assert (estimator.max_iter, estimator.learning_rate) == (7, "constant")
