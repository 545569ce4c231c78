"""The built-in templates, as data. Their ids are taken; their parameters are those of their steps and those named
here."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

from app.domain.layers import Layer, derive
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.templates import Parameter, Step, Template, TemplateDraft

_SMALL = {"cpu_cores": 1, "memory_gb": 1, "gpu_count": 0, "storage_gb": 1}
_TRAINING = {"cpu_cores": 2, "memory_gb": 4, "gpu_count": 0, "storage_gb": 10}
_WHICH_DATA = "A built-in data set, a registered one, or a CSV or Parquet file under the data root."
_IRIS = Parameter("dataset_name", "string", default="iris", aliases=("dataset",), description=_WHICH_DATA)
_NEEDS_DATASET = Parameter("dataset_name", "string", required=True, aliases=("dataset",), description=_WHICH_DATA)
_ARGUMENT_LIST = 'An argument list, such as ["python", "train.py"]; never a shell line.'
_COMMAND = (
    Parameter("command", "array", required=True, description=_ARGUMENT_LIST),
    Parameter("env", "object", default={}, description="Environment variables of the command."),
    Parameter("arguments", "object", default={}, description="Values for ${{ parameters.arguments.* }}."),
)

_DRAFTS: tuple[TemplateDraft, ...] = (
    TemplateDraft(
        id="ml_training_template",
        title="ML Model Training",
        description="Train machine learning models",
        category="machine_learning",
        parameters=(_NEEDS_DATASET,),
        default_parameters={"algorithm": "random_forest"},
        resource_requirements=_TRAINING,
        execution_steps=(
            Step("data_preparation", 300),
            Step("model_training", 1800),
            Step("model_evaluation", 600),
            Step("model_storage", 300),
        ),
    ),
    TemplateDraft(
        id="ml_training",
        title="ML Training Step",
        description="Train one model on prepared or raw data and store it",
        category="machine_learning",
        parameters=(_IRIS,),
        default_parameters={"algorithm": "random_forest"},
        resource_requirements=_TRAINING,
        execution_steps=(Step("model_training", 1800),),
    ),
    TemplateDraft(
        id="hyperparameter_tuning",
        title="Hyperparameter Trial",
        description="Train and score one point of a hyperparameter search",
        category="machine_learning",
        parameters=(_IRIS,),
        default_parameters={"algorithm": "random_forest"},
        resource_requirements={**_TRAINING, "cpu_cores": 1, "memory_gb": 2},
        execution_steps=(Step("hyperparameter_trial", 1800),),
    ),
    TemplateDraft(
        id="data_preprocessing",
        title="Data Preprocessing",
        description="Clean and encode a data set and store it as Parquet",
        category="data",
        parameters=(_NEEDS_DATASET,),
        default_parameters={"preprocessing_steps": ["impute", "one_hot", "normalize"]},
        resource_requirements={**_SMALL, "memory_gb": 2},
        execution_steps=(Step("data_preprocessing", 900),),
    ),
    TemplateDraft(
        id="model_evaluation",
        title="Model Evaluation",
        description="Score a stored model on rows that its training did not see",
        category="machine_learning",
        resource_requirements={**_SMALL, "memory_gb": 2},
        execution_steps=(Step("model_evaluation", 600),),
    ),
    TemplateDraft(
        id="batch_inference",
        title="Batch Inference",
        description="Predict every row of a data set with a stored model",
        category="machine_learning",
        resource_requirements={**_SMALL, "memory_gb": 2},
        execution_steps=(Step("batch_inference", 1800),),
    ),
    TemplateDraft(
        id="command",
        title="Command",
        description="Run a command of your own: an argument list, never a shell",
        category="general",
        parameters=_COMMAND,
        resource_requirements=_SMALL,
        execution_steps=(Step("command"),),
    ),
    TemplateDraft(
        id="sleep",
        title="Sleep",
        description="Wait for some seconds; for trials of the system",
        category="system",
        resource_requirements={"cpu_cores": 0.1, "memory_gb": 0.125, "gpu_count": 0, "storage_gb": 0},
        execution_steps=(Step("sleep"),),
    ),
    TemplateDraft(
        id="noop",
        title="No-op",
        description="Do nothing, successfully; for trials of the system",
        category="system",
        resource_requirements={"cpu_cores": 0.1, "memory_gb": 0.125, "gpu_count": 0, "storage_gb": 0},
        execution_steps=(Step("noop"),),
    ),
)


@cache
def builtin_templates() -> MappingProxyType[str, Template]:
    """All built-in templates by id."""
    return MappingProxyType({d.id: derive(d, None, STEP_PARAMETERS, built_in=True) for d in _DRAFTS})


@cache
def builtin_layers() -> MappingProxyType[str, Layer]:
    """What each built-in template says itself, by id."""
    return MappingProxyType({d.id: Layer(d.id, 1, d) for d in _DRAFTS})
