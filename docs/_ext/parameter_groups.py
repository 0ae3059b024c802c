"""The parameters of an estimator in groups on its page, instead of one list of forty.

numpydoc has rendered the docstring when `group` is called: each parameter is an item that begins
with its name in bold. The items are put into the order of `GROUPS`, under a heading for each.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

GROUPS = {
    "The network and its loss": [
        "hidden_layer_sizes",
        "activation",
        "initializer",
        "loss",
        "quantile",
        "huber_delta",
        "power",
    ],
    "The optimiser": [
        "solver",
        "learning_rate",
        "learning_rate_init",
        "layer_rates",
        "column_rate",
        "warmup",
        "power_t",
        "batch_size",
        "shuffle",
        "momentum",
        "nesterovs_momentum",
        "beta_1",
        "beta_2",
        "epsilon",
        "clip_norm",
    ],
    "Regularisation": ["alpha", "weight_decay", "dropout", "average_decay", "label_smoothing"],
    "When to stop": [
        "max_iter",
        "max_fun",
        "tol",
        "n_iter_no_change",
        "early_stopping",
        "validation_fraction",
        "scoring",
        "refit",
        "calibrate",
    ],
    "The data": [
        "categorical_features",
        "scale_inputs",
        "scale_target",
        "class_weight",
        "precision",
    ],
    "Several networks, and how a fit is run": [
        "n_estimators",
        "time_limit",
        "n_jobs",
        "random_state",
        "warm_start",
        "verbose",
    ],
}
CLUSTER = {"The cluster": ["client", "n_shards"]}
NAMES = ("DNNRegressor", "DNNBinaryClassifier", "DNNClassifier")
GROUPS_OF = {f"skdnn.{name}": GROUPS for name in NAMES} | {
    f"skdnn.dask.Dask{name}": CLUSTER | GROUPS for name in NAMES
}
ITEM = re.compile(r"^    \*\*(\w+)\*\* : ")


def group(_app: Any, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Rearrange the field list that numpydoc made of the parameters, in place."""
    if what != "class" or name not in GROUPS_OF:
        return
    groups = GROUPS_OF[name]
    start = lines.index(":Parameters:") + 1
    stop = next(i for i in range(start, len(lines)) if re.match(r"^:\w|^\.\. ", lines[i]))
    items: dict[str, list[str]] = {}
    for line in lines[start:stop]:
        if match := ITEM.match(line):
            items[match[1]] = current = []
        if items:
            current.append(line)
    known = [parameter for names in groups.values() for parameter in names]
    if missing := set(items) - set(known):
        raise ValueError(f"give {sorted(missing)} of {name} a group in docs/_ext/{__name__}.py")
    grouped = [""]
    for title, names in groups.items():
        grouped += [f"    .. rubric:: {title}", "       :class: parameter-group", ""]
        grouped += [line for parameter in names for line in items.get(parameter, [])]
        grouped += [""]
    lines[start:stop] = grouped


def shorten(
    _app: Any, what: str, name: str, obj: Any, _options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Leave defaults, and the parameters that are given by name alone, to the groups below.

    What `set_fit_request` and its kin have as a default is a constant of scikit-learn.
    """
    if what == "class" and name in GROUPS_OF:
        parameters = inspect.signature(obj).parameters.values()
        by_place = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        return f"({', '.join([*by_place, '*', '...'])})", returns
    if "$UNCHANGED$" in (signature or ""):
        return signature.replace("'$UNCHANGED$'", "UNCHANGED"), returns
    return None


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-signature", shorten)
    # numpydoc's own handler has the default priority, 500.
    app.connect("autodoc-process-docstring", group, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
