"""The built-in steps as data: their names, what they may be asked, and which are light enough to run inline.

Pure facts, so that templates and submit validation know every parameter without a machine-learning library. The steps
themselves are in `workers/steps`; a test holds the two lists equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.domain.templates import Parameter

ALGORITHMS = (
    "random_forest",
    "logistic_regression",
    "svm",
    "decision_tree",
    "gradient_boosting",
    "knn",
    "dnn",
    "cnn",
)
PREPROCESSING_STEPS = ("impute", "one_hot", "normalize", "feature_selection")
"""In the order in which they are applied, whatever the order in a request."""
DEFAULT_TEST_SPLIT = 0.2
DEFAULT_CV_FOLDS = 5
INLINE_SAFE_STEPS = frozenset({"noop", "sleep"})

_DATASET = Parameter(
    "dataset_name",
    "string",
    description="A built-in data set, a registered one, or a CSV or Parquet file under the data root.",
    aliases=("dataset",),
)
_TARGET = Parameter(
    "target_column", "string", description="The column to predict; the registered one or the last column by default."
)
_SEED = Parameter(
    "seed", "integer", minimum=0, maximum=2**32 - 1, description="Seed of the split and of the algorithm (0)."
)
_TEST_SPLIT = Parameter(
    "test_split", "number", minimum=0.01, maximum=0.9, description="Share of rows held out of training (0.2)."
)
_TASK = Parameter(
    "task",
    "string",
    options=("auto", "classification", "regression"),
    description="What is learnt; auto takes a number with many distinct values for regression.",
)
_PREPROCESSING = Parameter(
    "preprocessing_steps", "array", description=f"Any of {', '.join(PREPROCESSING_STEPS)}, applied in this order."
)
_DATA = (_DATASET, _TARGET, _TEST_SPLIT, _SEED, _TASK, _PREPROCESSING)

_MODEL = Parameter("model", "string", description="A stored model: {job_id} or {job_id}/{artifact}.")

_ESTIMATOR = (
    Parameter("algorithm", "string", default="random_forest", options=ALGORITHMS, description="What is trained."),
    Parameter(
        "hyperparameters", "object", description="Arguments of the estimator; they win over the parameters beside it."
    ),
    Parameter("max_epochs", "integer", minimum=1, maximum=100_000, description="Passes over the data (dnn, cnn)."),
    Parameter("batch_size", "integer", minimum=1, maximum=1_000_000, description="Rows a gradient step (dnn, cnn)."),
    Parameter("learning_rate", "number", minimum=0, description="Step size (gradient_boosting, dnn, cnn)."),
    Parameter("max_iter", "integer", minimum=1, maximum=10_000_000, description="Most iterations of the solver."),
    Parameter("C", "number", minimum=1e-9, description="Inverse regularisation strength (svm, logistic_regression)."),
    Parameter("kernel", "string", options=("linear", "poly", "rbf", "sigmoid"), description="Kernel (svm)."),
    Parameter("degree", "integer", minimum=0, maximum=20, description="Degree of the polynomial kernel (svm)."),
    Parameter("gamma", "number", minimum=0, description="Kernel coefficient (svm); 'scale' when left out."),
    Parameter("n_estimators", "integer", minimum=1, maximum=100_000, description="Number of trees."),
    Parameter("max_depth", "integer", minimum=1, maximum=10_000, description="Depth of each tree; none when left out."),
    Parameter("min_samples_leaf", "integer", minimum=1, description="Least rows in a leaf of a tree."),
    Parameter("n_neighbors", "integer", minimum=1, description="Number of neighbours (knn)."),
    Parameter("alpha", "number", minimum=0, description="Strength of regularisation (dnn)."),
)
_VALIDATION = (
    Parameter(
        "validation_strategy",
        "string",
        default="holdout",
        options=("holdout", "cross_validation"),
        description="How the model is judged while it is trained.",
    ),
    Parameter("cv_folds", "integer", minimum=2, maximum=100, description="Folds of the cross-validation (5)."),
)
_TRAINING = (*_DATA, *_ESTIMATOR, *_VALIDATION)

STEP_PARAMETERS: Mapping[str, tuple[Parameter, ...]] = MappingProxyType(
    {
        "data_preparation": _DATA,
        "data_preprocessing": _DATA,
        "model_training": _TRAINING,
        "model_evaluation": (_MODEL, _DATASET, _TARGET, _TEST_SPLIT),
        "model_storage": (_MODEL,),
        "hyperparameter_trial": _TRAINING,
        "batch_inference": (
            _MODEL,
            _DATASET,
            Parameter(
                "batch_size", "integer", minimum=1, maximum=1_000_000, description="Rows predicted at a time (10,000)."
            ),
        ),
        "sleep": (
            Parameter("seconds", "number", default=1, minimum=0, maximum=86_400, description="How long to wait."),
        ),
        "noop": (),
    }
)
TRAINS_MODEL = frozenset({"model_training"})
NEEDS_MODEL = frozenset({"model_evaluation", "model_storage", "batch_inference"})
"""Steps that leave a model to those after them, and steps that need one: theirs, or the parameter `model`."""
BUILT_IN_STEPS = tuple(STEP_PARAMETERS)
