"""Which arguments each algorithm's estimators take, so that a misspelt one is refused at submit and not minutes later.

Names are those of scikit-learn, of classifier and regressor together; a test holds them to the installed release. What
a node alone can know (`cnn` needs torch) is not listed, and passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from app.domain.errors import FieldError
from app.domain.json import Json
from app.domain.nearest import unknown_name
from app.domain.templates import Parameter, value_errors


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TREE = _names(
    "ccp_alpha class_weight criterion max_depth max_features max_leaf_nodes min_impurity_decrease min_samples_leaf "
    "min_samples_split min_weight_fraction_leaf monotonic_cst random_state"
)
_MARGIN = _names("C class_weight max_iter random_state tol verbose")
ESTIMATOR_ARGUMENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "random_forest": _TREE | _names("bootstrap max_samples n_estimators n_jobs oob_score verbose warm_start"),
        "logistic_regression": _MARGIN
        | _names(
            "alpha copy_X dual fit_intercept intercept_scaling l1_ratio n_jobs penalty positive solver warm_start"
        ),
        "svm": _MARGIN
        | _names(
            "break_ties cache_size coef0 decision_function_shape degree epsilon gamma kernel probability shrinking"
        ),
        "decision_tree": _TREE | {"splitter"},
        "gradient_boosting": (_TREE - {"class_weight", "monotonic_cst"})
        | _names("alpha init learning_rate loss n_estimators n_iter_no_change subsample tol validation_fraction")
        | {"verbose", "warm_start"},
        "knn": _names("algorithm leaf_size metric metric_params n_jobs n_neighbors p weights"),
        "dnn": _names(
            "activation alpha batch_size beta_1 beta_2 early_stopping epsilon hidden_layer_sizes learning_rate"
        )
        | _names("learning_rate_init loss max_fun max_iter momentum n_iter_no_change nesterovs_momentum power_t")
        | _names("random_state shuffle solver tol validation_fraction verbose warm_start"),
    }
)
SAME_MEANING = frozenset({"C", "alpha", "degree", "max_depth", "n_estimators", "n_neighbors"})
"""Parameters beside `hyperparameters` whose type and bounds hold for the argument of the same name."""


def hyperparameter_errors(
    algorithm: Json, given: Json, declared: Mapping[str, Parameter], path: str = "parameters.hyperparameters"
) -> Iterator[FieldError]:
    """Unknown names with the nearest one, and values that the parameter of the same name would not take."""
    known = ESTIMATOR_ARGUMENTS.get(algorithm) if isinstance(algorithm, str) else None
    if known is None or not isinstance(given, Mapping):
        return
    for name, value in given.items():
        if name not in known:
            message, near = unknown_name("hyperparameter", name, known)
            yield FieldError(f"{path}.{name}", f"{message} ({algorithm})", near)
        elif name in SAME_MEANING and name in declared:
            yield from value_errors(declared[name], value, f"{path}.{name}")
