"""Real fits on real data: every algorithm, every preprocessing step, both strategies, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.domain.step_catalog import ALGORITHMS, BUILT_IN_STEPS, PREPROCESSING_STEPS
from tests.unit.steps.conftest import PIPELINE, Ran, Run
from workers.steps import PermanentFailure
from workers.steps.ml import columns, estimators, models
from workers.steps.registry import BUILTIN_STEPS

TRAINABLE = [name for name in ALGORITHMS if name != "cnn"]
CLEANED = ["impute", "one_hot", "normalize"]


def test_the_catalog_and_the_registry_name_the_same_steps_and_algorithms() -> None:
    assert set(BUILT_IN_STEPS) == set(BUILTIN_STEPS)
    assert {*estimators.ALGORITHMS, "cnn"} == set(ALGORITHMS) == set(models.TRUSTED)
    assert all(callable(info.load()) for info in BUILTIN_STEPS.values())


@pytest.mark.parametrize("algorithm", TRAINABLE)
def test_each_algorithm_learns_iris_and_its_stored_model_predicts_the_same(run: Run, algorithm: str) -> None:
    parameters = {"algorithm": algorithm, "preprocessing_steps": ["normalize"], "max_epochs": 200}
    ran = run(PIPELINE, {"dataset_name": "iris", **parameters})
    assert ran.failure is None
    assert ran.metrics["accuracy"] > 0.85
    assert {"f1_macro", "precision_macro", "recall_macro"} <= ran.metrics.keys()
    assert set(ran.artifacts) == {"model.skops", "model.json", "report.json", "metrics.json"}

    reference = {"job_a": ran.artifacts["model.skops"].parent}
    models_on_disk = {key: str(path) for key, path in reference.items()}
    again = run(["model_evaluation"], {"model": "job_a"}, models=models_on_disk)
    assert again.failure is None
    assert again.outputs["model_evaluation"] == ran.outputs["model_evaluation"]
    assert again.outputs["model_evaluation"]["overlap"] == 0
    assert again.outputs["model_evaluation"]["rows"] == 30


@pytest.mark.parametrize("algorithm", TRAINABLE)
def test_a_continuous_target_gets_the_algorithms_regressor(run: Run, algorithm: str) -> None:
    parameters = {
        "dataset_name": "diabetes",
        "algorithm": algorithm,
        "preprocessing_steps": ["normalize"],
        "C": 10.0,
        "max_epochs": 20,
        "learning_rate": 0.1,
        "max_depth": 3,
    }
    ran = run(["model_training"], parameters)
    assert ran.failure is None
    assert ran.metrics.keys() >= {"r2", "rmse", "mae"}
    assert ran.metrics["r2"] > 0.05
    report = json.loads(ran.artifacts["report.json"].read_text())
    assert report["model"]["task"] == "regression"


def test_raw_data_trains_after_impute_and_one_hot(run: Run) -> None:
    parameters = {"dataset": "raw_data.csv", "algorithm": "logistic_regression", "preprocessing_steps": CLEANED}
    ran = run(PIPELINE, parameters)
    assert ran.failure is None
    assert ran.metrics["accuracy"] > 0.85
    assert ran.metrics["roc_auc"] > 0.9
    report = json.loads(ran.artifacts["report.json"].read_text())
    assert report["evaluation"]["confusion_matrix"]["labels"] == ["no", "yes"]
    assert np.sum(report["evaluation"]["confusion_matrix"]["matrix"]) == 60
    assert "plan_basic" in [each["feature"] for each in report["feature_importances"]]
    assert report["rows"] == {"train": 240, "test": 60}


def test_the_words_beside_the_bars(run: Run) -> None:
    ran = run(PIPELINE, {"dataset_name": "iris", "hyperparameters": {"n_estimators": 100, "max_depth": 5}})
    last = {line["step"]: line["text"] for line in ran.of("progress") if line["text"]}
    assert last["data_preparation"] == "150 rows, 4 features, 3 classes"
    assert last["model_training"] == "100/100 trees"
    assert last["model_evaluation"].startswith("accuracy 0.")
    assert last["model_storage"].startswith("model.skops ")
    trees = [line["n"] for line in ran.of("progress") if line["step"] == "model_training" and line["n"]]
    assert trees == sorted(trees)
    assert len(trees) == 20


def test_trees_in_portions_are_the_trees_of_one_fit(run: Run) -> None:
    from sklearn.ensemble import RandomForestClassifier

    from workers.steps.ml.fitting import Fitting, Rows, fit

    chance = np.random.default_rng(0)
    rows = Rows(pd.DataFrame(chance.normal(size=(80, 3)), columns=list("abc")), chance.integers(0, 2, 80))
    grown = fit(Fitting(RandomForestClassifier(50, random_state=3), (), "classification", rows, rows, lambda *_: None))
    at_once = RandomForestClassifier(50, random_state=3).fit(rows.features.to_numpy(), rows.target)
    assert np.array_equal(grown.predict_proba(rows.features), at_once.predict_proba(rows.features.to_numpy()))


def test_a_network_reports_each_epoch_and_ends_early_when_it_no_longer_learns(run: Run) -> None:
    settings = {"hidden_layer_sizes": [8], "tol": 10.0, "n_iter_no_change": 3}
    ran = run(["model_training"], {"dataset_name": "iris", "algorithm": "dnn", "hyperparameters": settings})
    assert ran.failure is None
    epochs = [line["n"] for line in ran.of("progress") if line["n"]]
    assert epochs == [1, 2, 3, 4, 5]
    assert all("loss" in line["metrics"] for line in ran.of("progress") if line["n"])


def test_a_network_that_still_learns_at_its_end_says_so(run: Run) -> None:
    ran = run(["model_training"], {"dataset_name": "iris", "algorithm": "dnn", "max_epochs": 3})
    texts = [line["text"] for line in ran.of("progress") if line["n"]]
    assert texts == ["1/3 epochs", "2/3 epochs", "3/3 epochs; the loss still falls, raise max_epochs"]


def test_a_file_that_is_no_parquet_is_named_without_its_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_text("no parquet")
    ran = run(["model_training"], {"dataset_name": "table.parquet"}, data_root=str(tmp_path))
    assert ran.failure is not None
    assert "table.parquet cannot be read" in ran.failure.message
    assert str(tmp_path) not in ran.failure.message


def test_cross_validation_reports_each_fold_and_the_mean(run: Run) -> None:
    parameters = {"dataset_name": "wine", "algorithm": "knn", "preprocessing_steps": ["normalize", "feature_selection"]}
    ran = run(["hyperparameter_trial"], {**parameters, "validation_strategy": "cross_validation", "cv_folds": 4})
    assert ran.failure is None
    folds = [line for line in ran.of("progress") if line["n"]]
    assert [line["text"] for line in folds] == ["1/4 folds", "2/4 folds", "3/4 folds", "4/4 folds"]
    outputs = ran.outputs["hyperparameter_trial"]
    assert (outputs["rows"], outputs["features"]) == (178, 13)
    assert outputs["accuracy"] == pytest.approx(folds[-1]["metrics"]["accuracy"])
    assert 0.9 < outputs["accuracy"] <= 1
    assert "accuracy_std" in outputs

    trained = run(["model_training"], {**parameters, "validation_strategy": "cross_validation"})
    assert trained.failure is None
    assert {"cv_accuracy", "cv_accuracy_std", "accuracy"} <= trained.outputs["model_training"].keys()
    assert (trained.outputs["model_training"]["rows"], trained.outputs["model_training"]["features"]) == (178, 13)


def test_parameters_beside_hyperparameters_reach_the_estimator_and_hyperparameters_win(run: Run) -> None:
    made = estimators.build(
        {"algorithm": "svm", "C": 10.0, "n_estimators": 7, "hyperparameters": {"C": 2.0}}, "classification", 2
    )
    assert made.get_params()["C"] == 2.0
    network = estimators.build({"algorithm": "dnn", "learning_rate": 0.02, "max_epochs": 7, "seed": 5}, "regression", 2)
    wanted = network.get_params()
    assert (wanted["learning_rate_init"], wanted["max_iter"], wanted["random_state"]) == (0.02, 7, 5)
    ridge = estimators.build({"algorithm": "logistic_regression", "C": 0.25}, "regression", 2)
    assert ridge.get_params()["alpha"] == 2.0
    forest = estimators.build({"algorithm": "random_forest", "learning_rate": 0.1}, "classification", 3)
    assert forest.get_params()["n_jobs"] == 3


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"dataset_name": "raw_data.csv"}, ("'plan'", 'preprocessing_steps: ["one_hot"]')),
        (
            {"dataset_name": "raw_data.csv", "preprocessing_steps": ["one_hot"]},
            ("Input X contains NaN in columns 'age', 'income', 'support_calls'", 'add "impute" to preprocessing_steps'),
        ),
        ({"dataset_name": "raw_data.csv", "target_column": "churn"}, ("'churn'", "did you mean 'churned'?", "income")),
        ({"dataset_name": "iris", "target_column": "class"}, ("'species'", "'target'", "'class'")),
        ({"dataset_name": "irris"}, ("irris", "did you mean iris?")),
        ({"dataset_name": "/etc/passwd"}, ("absolute path", "DATA_ROOT")),
        ({"dataset_name": "../secret.csv"}, ("leaves the data root",)),
        ({}, ("dataset_name is missing",)),
        ({"dataset_name": "iris", "algorithm": "random_forrest"}, ("did you mean random_forest?",)),
        ({"dataset_name": "iris", "hyperparameters": {"n_estimator": 5}}, ("did you mean n_estimators?",)),
        ({"dataset_name": "iris", "hyperparameters": {"n_estimators": "5"}}, ("'n_estimators'", "'5'")),
        ({"dataset_name": "iris", "preprocessing_steps": ["normalise"]}, ("did you mean normalize?",)),
        ({"dataset_name": "iris", "validation_strategy": "crossvalidation"}, ("did you mean cross_validation?",)),
        ({"dataset_name": "iris", "test_split": 1.5}, ("test_split", "between 0 and 1")),
        (
            {"dataset_name": "raw_data.csv", "preprocessing_steps": CLEANED, "task": "regression"},
            ("cannot be regressed",),
        ),
    ],
)
def test_faults_of_data_and_parameters_are_permanent_and_say_the_remedy(
    run: Run, parameters: dict[str, object], said: tuple[str, ...]
) -> None:
    ran = run(PIPELINE, parameters)
    assert ran.failure is not None
    assert ran.failure.code == "permanent"
    for part in said:
        assert part in ran.failure.message


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,label\n1,x\n2,x\n3,x\n4,x\n5,x\n6,x\n", "one value only"),
        ("a,label\n1,x\n2,y\n", "at least 5"),
        ("a,label\ninf,x\n2,y\n3,x\n4,y\n5,x\n6,y\n", "infinity in column 'a'"),
        ("label\n1\n2\n", "one column only"),
        ("", "cannot be read"),
        ("a,label\n", "holds no rows"),
        ("a,l\xe4bel\n1,2\n", "is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_refused(run: Run, tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "table.csv").write_text(rows, encoding="latin-1")
    ran = run(["model_training"], {"dataset_name": "table.csv"}, data_root=str(tmp_path))
    assert ran.failure is not None
    assert ran.failure.code == "permanent"
    assert said in ran.failure.message


def test_cnn_is_refused_where_torch_is_missing(run: Run) -> None:
    ran = run(["model_training"], {"dataset_name": "digits", "algorithm": "cnn", "max_epochs": 1})
    try:
        import torch  # noqa: F401
    except ImportError:
        assert ran.failure is not None
        assert ran.failure.code == "permanent"
        assert "needs torch" in ran.failure.message
    else:
        assert ran.failure is None


def test_the_pipeline_of_three_jobs_runs_over_stored_artifacts(run: Run) -> None:
    prepared = run(["data_preprocessing"], {"dataset": "raw_data.csv"})
    assert prepared.failure is None
    made = prepared.outputs["data_preprocessing"]
    table = pd.read_parquet(prepared.artifacts["dataset.parquet"])
    assert list(table.columns)[-1] == "churned" == made["target_column"]
    assert made["preprocessing_steps"] == ["impute", "one_hot"]
    assert not table.isna().any().any()

    registered = {made["dataset"]: {"path": str(prepared.artifacts["dataset.parquet"])}}
    trained = run(
        ["model_training"], {"dataset_name": made["dataset"], "algorithm": "random_forest"}, datasets=registered
    )
    assert trained.failure is None
    reference = trained.outputs["model_training"]["model"]

    judged = run(
        ["model_evaluation"],
        {"model": reference, "test_split": 0.2},
        datasets=registered,
        models={reference: str(trained.artifacts["model.skops"])},
    )
    assert judged.failure is None
    assert judged.outputs["model_evaluation"]["accuracy"] == trained.outputs["model_training"]["accuracy"]
    assert "held out in training" in judged.texts[-1]


def test_evaluation_says_how_many_rows_it_was_trained_on(run: Run) -> None:
    trained = run(["model_training"], {"dataset_name": "iris", "algorithm": "knn"})
    stored = {"job_a": str(trained.artifacts["model.skops"])}
    judged = run(["model_evaluation"], {"model": "job_a", "test_split": 0.5}, models=stored)
    outputs = judged.outputs["model_evaluation"]
    assert outputs["rows"] == 75
    assert 0 < outputs["overlap"] < 75
    assert f"{outputs['overlap']} of the 75 rows overlap" in judged.texts[-1]
    lost = run(["model_evaluation"], {"model": "job_b"}, models=stored)
    assert lost.failure is not None
    assert lost.failure.code == "permanent"


def test_inference_predicts_every_row_and_needs_the_models_columns(run: Run) -> None:
    trained = run(["model_training"], {"dataset_name": "iris", "algorithm": "logistic_regression"})
    stored = {"job_a/model.skops": str(trained.artifacts["model.skops"])}
    parameters = {"model": "job_a/model.skops", "dataset_name": "iris", "batch_size": 40}
    ran = run(["batch_inference"], parameters, models=stored)
    assert ran.failure is None
    table = pd.read_csv(ran.artifacts["predictions.csv"])
    assert list(table["row"]) == list(range(150))
    assert set(table["prediction"]) == {"setosa", "versicolor", "virginica"}
    assert np.allclose(table.filter(like="probability_").sum(axis=1), 1)
    wrong = run(["batch_inference"], {**parameters, "dataset_name": "wine"}, models=stored)
    assert wrong.failure is not None
    assert "the model needs the column 'sepal length (cm)'" in wrong.failure.message


def test_resuming_after_a_completed_training_trains_again_for_what_follows(run: Run) -> None:
    parameters = {"dataset_name": "iris", "algorithm": "decision_tree"}
    earlier = run(["data_preparation", "model_training"], parameters)
    resumed = run(PIPELINE, parameters, completed_steps={step: dict(out) for step, out in earlier.outputs.items()})
    assert resumed.failure is None
    assert resumed.outputs["model_training"] == earlier.outputs["model_training"]
    assert "model.skops" in resumed.artifacts


def test_a_model_file_that_asks_for_other_types_is_not_loaded(run: Run, tmp_path: Path) -> None:
    import zipfile

    trained = run(["model_training"], {"dataset_name": "iris", "algorithm": "random_forest", "n_estimators": 2})
    forged = tmp_path / "forged.skops"
    with zipfile.ZipFile(trained.artifacts["model.skops"]) as real, zipfile.ZipFile(forged, "w") as copy:
        for name in real.namelist():
            content = real.read(name)
            if name.endswith("tensorfleet/model.json"):
                content = content.replace(b'"random_forest"', b'"svm"')
            copy.writestr(name, content)
    ran = run(["model_evaluation"], {"model": "job_b"}, models={"job_b": str(forged)})
    assert ran.failure is not None
    assert ran.failure.code == "permanent"
    assert "sklearn.tree._tree.Tree" in ran.failure.message


def test_equal_runs_give_equal_results(run: Run) -> None:
    def results() -> Ran:
        return run(
            ["model_training"],
            {"dataset_name": "wine", "algorithm": "gradient_boosting", "n_estimators": 10, "seed": 4},
        )

    assert results().outputs == results().outputs


def test_columns_of_every_kind_become_numbers_or_text() -> None:
    table = pd.DataFrame(
        {
            "gaps": pd.array([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "kind": pd.Categorical(["a", None, "b"]),
            "mixed": [1, "x", None],
        }
    )
    features = columns.as_features(table)
    assert columns.kinds(features) == columns.Columns(("gaps", "flag"), ("kind", "mixed"))
    assert columns.needed_preprocessing(features) == ("impute", "one_hot")
    with pytest.raises(PermanentFailure, match="'when' holds dates"):
        columns.as_features(pd.DataFrame({"when": pd.to_datetime(["2024-01-01"])}))
    assert columns.as_target(pd.Series([0.0, 1.0]), "classification").dtype == np.int64
    assert list(columns.as_target(pd.Series([True, False]), "classification")) == ["True", "False"]


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (["yes", "no"] * 20, "classification"),
        ([True, False] * 20, "classification"),
        (list(range(10)) * 4, "classification"),
        (list(range(40)), "regression"),
        ([0.5, 1.5, 2.5, 3.5] * 10, "regression"),
    ],
)
def test_the_target_tells_the_task(values: list[object], want: str) -> None:
    assert columns.task_of(pd.Series(values, name="y"), "auto") == want


def test_preprocessing_keeps_its_own_order() -> None:
    from workers.steps.ml.preprocessing import chosen_steps

    assert chosen_steps(["feature_selection", "normalize", "impute", "one_hot"]) == PREPROCESSING_STEPS
