"""Every parameter is written once, and everything that is made of it agrees."""

import ast
import importlib.util
import inspect
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor, names, parameters
from skdnn.checks import activation_names, check, dropout_rates, hidden_sizes
from skdnn.core.activations import ACTIVATIONS
from skdnn.core.initializers import INITIALIZERS
from skdnn.core.losses import LOSSES
from skdnn.core.schedules import SCHEDULES
from skdnn.inputs import SCALERS
from skdnn.parameters import plain_values, resolve
from tests.cases import ESTIMATORS, SOLVERS

EACH = pytest.mark.parametrize("Estimator", ESTIMATORS)


class Small(DNNClassifier):
    """A user's own, with a constructor of its own."""

    def __init__(self, alpha=1e-4, solver="lbfgs"):
        super().__init__(alpha=alpha, solver=solver, hidden_layer_sizes=(3,))


# The constructor


@pytest.mark.parametrize(
    "Estimator, first, last",
    [
        (
            DNNRegressor,
            ["loss"],
            ["scale_target", "quantile", "power", "huber_delta", "column_rate"],
        ),
        (DNNBinaryClassifier, [], ["class_weight", "label_smoothing", "calibrate"]),
        (DNNClassifier, [], ["class_weight", "label_smoothing", "calibrate"]),
    ],
)
def test_the_signature_has_the_layers_by_position_and_its_own_last(Estimator, first, last):
    signature = inspect.signature(Estimator).parameters.values()
    by_position = [p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = [p.name for p in signature if p.kind is p.KEYWORD_ONLY]
    assert by_position == [*first, "hidden_layer_sizes", "activation"]
    assert by_name[0] == "solver"
    assert by_name[-len(last) - 1 :] == ["precision", *last]


@EACH
def test_every_parameter_of_the_signature_has_a_default_and_a_type(Estimator):
    for p in inspect.signature(Estimator).parameters.values():
        assert p.default is not p.empty and p.annotation is not p.empty, p.name


def test_positions_are_taken_in_order():
    model = DNNRegressor("huber", (3,), "tanh")
    assert (model.loss, model.hidden_layer_sizes, model.activation) == ("huber", (3,), "tanh")


@EACH
def test_an_unknown_name_is_refused(Estimator):
    with pytest.raises(TypeError, match=rf"{Estimator.__name__}\.__init__.* 'hiden_layer_sizes'"):
        Estimator(hiden_layer_sizes=5)


@EACH
def test_a_clone_has_the_very_parameters(Estimator):
    model = Estimator(hidden_layer_sizes=[3], dropout=0.1, random_state=1, refit=False)
    assert clone(model).get_params() == model.get_params()


@EACH
def test_repr_names_what_was_changed(Estimator):
    assert repr(Estimator(alpha=1.0)) == f"{Estimator.__name__}(alpha=1.0)"


@EACH
def test_set_params_refuses_an_unknown_name(Estimator):
    with pytest.raises(ValueError, match="hiden_layer_sizes"):
        Estimator().set_params(hiden_layer_sizes=5)


# One field for each


@EACH
def test_every_parameter_is_a_field_and_has_its_rule(Estimator):
    names = [field.name for field in fields(Estimator)]
    assert sorted(names) == sorted(inspect.signature(Estimator).parameters)
    assert set(names) == set(Estimator._parameter_constraints)


def test_every_parameter_is_written_once():
    tree = ast.parse(Path(parameters.__file__).read_text(encoding="utf-8"))
    names = [
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", None) == "param"
    ]
    assert sorted(names) == sorted({f.name for Estimator in ESTIMATORS for f in fields(Estimator)})


@EACH
def test_defaults_and_plain_values_fulfil_their_rules(Estimator):
    for model in (Estimator(), Estimator.plain()):
        model._validate_params()
        check(model)


# The docstring


@EACH
def test_the_docstring_says_what_auto_stands_for(Estimator):
    for field in fields(Estimator):
        if field.metadata["auto"] is not None:
            said = " ".join(Estimator.__doc__.split(f"\n{field.name} : ")[1].split())
            assert " ".join(field.metadata["auto"].sentence.split()) in said, field.name


@EACH
def test_auto_is_explained_where_it_may_be_given_and_only_there(Estimator):
    for field in fields(Estimator):
        takes = any("auto" in getattr(rule, "options", ()) for rule in field.metadata["rule"])
        assert takes == (field.metadata["auto"] is not None), field.name


@EACH
def test_the_docstring_has_no_line_that_is_read_as_an_item_of_a_list(Estimator):
    lines = [line.strip() for line in Estimator.__doc__.splitlines()]
    assert [line for line in lines if line.startswith(("- ", "* ", "+ "))] == []


# A class of the user's own


def test_a_subclass_is_plain_in_the_parameters_that_it_has():
    assert plain_values(Small) == {"alpha": 1e-4, "solver": "adam"}
    assert Small.plain(alpha=1).get_params() == {"alpha": 1, "solver": "adam"}


def test_a_subclass_is_cloned_and_fitted():
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = clone(Small(alpha=0.1)).fit(X, X[:, 0] > 0)
    assert model.hidden_layer_sizes == (3,) and model.score(X, X[:, 0] > 0) > 0.8


def test_a_subclass_without_its_own_fields_resolves_them_all():
    assert set(vars(resolve(Small(), 100))) == {field.name for field in fields(DNNClassifier)}


# What "auto" stands for


@EACH
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n", [1, 63, 64, 10_000])
def test_no_auto_is_left_but_where_more_decides(Estimator, solver, n):
    left = {name for name, value in vars(resolve(Estimator(solver=solver), n)).items()
            if isinstance(value, str) and value == "auto"}  # fmt: skip
    more = set() if Estimator is DNNRegressor else {"label_smoothing"}
    assert left == {"n_iter_no_change", *more}


@EACH
def test_what_is_given_stands(Estimator):
    model = Estimator.plain(weight_decay=0.3)
    assert vars(resolve(model, 1000)) == model.get_params()


@pytest.mark.parametrize("unscaled", [{"scale_inputs": None}, {"scale_target": False}])
def test_precision_is_that_of_X_where_something_is_not_scaled(unscaled):
    assert resolve(DNNRegressor(), 64).precision == "single"
    assert resolve(DNNRegressor(**unscaled), 64).precision is None


def test_settings_cannot_be_changed():
    settings = resolve(DNNRegressor(), 100)
    with pytest.raises(AttributeError, match="alpha"):
        settings.alpha = 1.0
    with pytest.raises(AttributeError, match="alpha"):
        del settings.alpha


# What the rules of single parameters cannot say


@pytest.mark.parametrize("sizes", [np.array(5), "ab", "5", None, 2.5, [[3, 4]], np.eye(2), [True]])
def test_unfit_sizes_are_refused_in_words(sizes):
    model = DNNClassifier(hidden_layer_sizes=sizes)
    with pytest.raises(InvalidParameterError, match=r"'hidden_layer_sizes' .*DNNClassifier.* Got"):
        hidden_sizes(model)


@pytest.mark.parametrize(
    "names", [np.array("relu"), "swoosh", None, 3, [["relu"], ["tanh"]], ["relu"], ["relu", 1]]
)
def test_unfit_activations_are_refused_in_words(names):
    model = DNNClassifier(hidden_layer_sizes=(3, 3), activation=names)
    with pytest.raises(InvalidParameterError, match=r"'activation' .*DNNClassifier.* Got"):
        activation_names(model)


@pytest.mark.parametrize(
    "rates",
    [np.array(0.1), "0.1", None, 1.0, np.nan, [0.1, np.nan], [[0.1], [0.2]], [0.1], [0.1, "0.2"]],
)
def test_unfit_dropout_is_refused_in_words(rates):
    model = DNNClassifier(hidden_layer_sizes=(3, 3), dropout=rates)
    with pytest.raises(InvalidParameterError, match=r"'dropout' .*DNNClassifier.* Got"):
        dropout_rates(model)


@pytest.mark.parametrize("name, value", [
    ("hidden_layer_sizes", np.array(5)),
    ("activation", np.array("relu")),
    ("dropout", np.array(0.1)),
    ("dropout", [np.nan]),
])  # fmt: skip
def test_fit_refuses_them_in_the_same_words(name, value):
    model = DNNRegressor(**{"hidden_layer_sizes": (5,), name: value})
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter of DNNRegressor must be"):
        model.fit(np.eye(3), np.arange(3))


@pytest.mark.parametrize("as_given", [list, tuple, np.array])
def test_a_value_for_each_layer_comes_in_any_sequence(as_given):
    model = DNNClassifier(
        hidden_layer_sizes=as_given([4, 3]),
        activation=as_given(["relu", "tanh"]),
        dropout=as_given([0.1, 0.0]),
    )
    model._validate_params()
    assert hidden_sizes(model) == (4, 3)
    assert activation_names(model) == ("relu", "tanh")
    assert dropout_rates(model) == (0.1, 0.0)


def test_one_value_is_for_every_layer():
    model = DNNClassifier(hidden_layer_sizes=(4, 3), activation="elu", dropout=0.1)
    assert activation_names(model) == ("elu", "elu")
    assert dropout_rates(model) == (0.1, 0.1)


@EACH
def test_lbfgs_takes_what_is_off_or_auto(Estimator):
    off = {f.name: f.metadata["off"] for f in fields(Estimator) if f.metadata["off"] is not MISSING}
    check(Estimator(solver="lbfgs"))
    check(Estimator(solver="lbfgs", **off))


def test_lbfgs_takes_the_default_learning_rate_in_a_subclass():
    check(Small())


# For the type checker in a user's project

NAMES = {
    names.ActivationName: {*ACTIVATIONS},
    names.InitializerName: {"auto", *INITIALIZERS},
    names.LossName: {*LOSSES},
    names.ScalingName: {*SCALERS},
    names.ScheduleName: {"auto", *SCHEDULES},
}


@pytest.mark.parametrize("literal", NAMES)
def test_type_of_a_name_has_all_of_them(literal):
    assert set(get_args(literal)) == NAMES[literal]


PROGRAM = """
import numpy as np
from sklearn.base import clone
from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor

X, y = np.eye(4), np.arange(4)
model = DNNClassifier((5, 3), "tanh", alpha=0.1, max_iter=3, refit=False, n_iter_no_change=5)
DNNRegressor("huber", 5, huber_delta=2.0, scale_inputs=None).fit(X, y).predict(X)
DNNBinaryClassifier.plain(solver="gd", calibrate=True)
alpha: float = model.alpha
"""
WRONG = [
    ("DNNClassifier(hiden_layer_sizes=5)", '"hiden_layer_sizes"'),
    ("DNNClassifier(loss='huber')", '"loss"'),
    ("DNNRegressor(class_weight='balanced')", '"class_weight"'),
    ("DNNClassifier((5,), 'relu', 'adam')", "positional"),
    ("DNNRegressor(alpha='much')", '"alpha"'),
    ("DNNRegressor(solver='adamw')", '"solver"'),
    ("DNNClassifier(activation='swish')", '"activation"'),
]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """Return what mypy says about the program with the wrong lines added to it."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    folder = tmp_path_factory.mktemp("project")
    (folder / "program.py").write_text(PROGRAM + "".join(f"{line}\n" for line, _ in WRONG))
    source = f"mypy_path = {Path(parameters.__file__).parents[1]}"
    ignored = "\nignore_missing_imports = true\nfollow_imports = "
    (folder / "mypy.ini").write_text(
        f"[mypy]\n{source}\n[mypy-sklearn.*,scipy.*]{ignored}skip\n[mypy-skdnn.*]{ignored}silent\n"
    )
    command = [sys.executable, "-m", "mypy", "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if ": error: " in line]


def test_mypy_is_content_with_a_right_program(complaints):
    right = range(PROGRAM.count("\n") + 1)
    assert [line for line in complaints if int(line.split(":")[1]) in right] == []


@pytest.mark.parametrize("at", range(len(WRONG)), ids=[line for line, _ in WRONG])
def test_mypy_finds_a_wrong_call(complaints, at):
    number = PROGRAM.count("\n") + 1 + at
    assert any(f"program.py:{number}: " in line and WRONG[at][1] in line for line in complaints)
