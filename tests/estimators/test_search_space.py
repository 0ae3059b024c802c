"""What search_space gives can be searched, whatever the estimator and wherever it stands."""

import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import search_space
from tests.cases import CASES, ESTIMATORS, SOLVERS, UNCONVERGED, default, many

pytestmark = UNCONVERGED


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_every_draw_is_taken_by_fit(Estimator, solver):
    name = next(name for name, case in CASES.items() if case.Estimator is Estimator)
    model = default(name, solver=solver, max_iter=1)
    for trial in ParameterSampler(search_space(model), 6, random_state=0):
        model.set_params(**{**trial, "hidden_layer_sizes": (3,)}).fit(*many(name))


def test_names_have_the_prefix_of_a_pipeline():
    model = default("regressor")
    space = search_space(model, prefix="dnnregressor__")
    pipeline = make_pipeline(StandardScaler(), model)
    assert set(space) <= set(pipeline.get_params())
    search = RandomizedSearchCV(pipeline, space, n_iter=1, cv=2, random_state=0)
    assert set(search.fit(*many("regressor")).best_params_) == set(space)


def test_a_changed_space_does_not_change_the_next():
    space = search_space(default("regressor"))
    space["activation"].append("gelu")
    assert "gelu" not in search_space(default("regressor"))["activation"]


def test_estimator_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="estimator must be one of skdnn's, got LinearRegression"):
        search_space(LinearRegression())
