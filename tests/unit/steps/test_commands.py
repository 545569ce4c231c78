"""Commands: how they end, what they are told and tell, what they never see. Real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from app.domain.environment import forbidden_env, inherited_env
from tests.unit.steps.conftest import Run, a_specification
from workers.report import Reporter
from workers.steps.runner import run_steps
from workers.steps.specification import RunSpecification
from workers.steps.stop import EventStop


def a_command(*arguments: str, env: dict[str, str] | None = None, step: str = "train") -> list[dict[str, Any]]:
    return [{"step": step, "kind": "command", "command": list(arguments), "env": env or {}, "timeout": 60}]


def python(code: str, **more: Any) -> list[dict[str, Any]]:
    return a_command("python", "-c", code, **more)


@pytest.mark.parametrize(
    ("code", "want", "exit_code", "ended_by"),
    [
        ("raise SystemExit(75)", "checkpointed", 75, None),
        ("raise SystemExit(78)", "permanent", 78, None),
        ("raise SystemExit(3)", "error", 3, None),
        ("import os; os.kill(os.getpid(), 9)", "error", None, signal.SIGKILL),
        ("import os; os.kill(os.getpid(), 15)", "error", None, signal.SIGTERM),
    ],
)
def test_the_exit_status_decides(run: Run, code: str, want: str, exit_code: int | None, ended_by: int | None) -> None:
    ran = run(python(code))
    assert ran.failure is not None
    assert (ran.failure.code, ran.failure.exit_code, ran.failure.signal) == (want, exit_code, ended_by)


def test_the_last_lines_become_the_failure(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    ran = run(python("import sys; [print('line', n) for n in range(50)]; sys.exit('disk is on fire')"))
    assert ran.failure is not None
    assert ran.failure.code == "error"
    assert "ended with status 1" in ran.failure.message
    assert ran.failure.message.endswith("disk is on fire")
    assert len(ran.failure.log_tail) == 20
    printed = capfd.readouterr().out
    assert "line 0\n" in printed
    assert "disk is on fire" in printed


def test_what_it_is_told_and_what_it_tells(run: Run) -> None:
    code = """
import json, os, pathlib
parameters = json.load(open(os.environ["TF_PARAMETERS"]))
pathlib.Path(os.environ["TF_ARTIFACTS"], "weights.bin").write_bytes(b"w")
nested = pathlib.Path(os.environ["TF_ARTIFACTS"], "plots"); nested.mkdir()
(nested / "loss.txt").write_text("falling")
pathlib.Path(os.environ["TF_CHECKPOINTS"], "state.json").write_text("{}")
with open(os.environ["TF_EVENTS"], "a") as events:
    events.write(json.dumps({"progress": 0.4, "metrics": {"loss": 0.2, "bad": None}, "step": 3}) + "\\n")
    events.write("not json\\n[1]\\n")
    events.write('{"progress": 1, "metrics": {"loss": NaN}}\\n{"progress": 0.9, "text": "unended"}')
own = {k: v for k, v in os.environ.items() if k in ("TF_JOB_ID", "TF_RUN_NO", "TF_ATTEMPT", "TF_STEP")}
json.dump({"parameters": parameters, "own": own, "accuracy": float("nan")}, open(os.environ["TF_OUTPUTS"], "w"))
"""
    ran = run(python(code), {"learning_rate": 0.5}, run_no=7, attempt=2)
    assert ran.failure is None
    own = {"TF_JOB_ID": "job_a", "TF_RUN_NO": "7", "TF_ATTEMPT": "2", "TF_STEP": "train"}
    assert ran.outputs["train"] == {"parameters": {"learning_rate": 0.5}, "own": own, "accuracy": None}
    assert ran.artifacts["weights.bin"].read_bytes() == b"w"
    assert ran.artifacts["plots__loss.txt"].read_text() == "falling"
    assert (Path(ran.of("checkpoint")[-1]["path"]) / "state.json").exists()
    first, strange, last = ran.of("progress")
    assert (first["progress"], first["metrics"], first["n"]) == (0.4, {"loss": 0.2, "bad": None}, 3)
    assert (strange["progress"], strange["metrics"]) == (1, {"loss": None})
    assert (last["progress"], last["text"]) == (0.9, "unended")
    assert len([text for text in ran.texts if "TF_EVENTS" in text]) == 1


def test_events_are_told_while_the_command_runs(tmp_path: Path) -> None:
    """The command ends only when somebody writes to the pipe, and that happens when its event has arrived."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = f"""
import os
with open(os.environ["TF_EVENTS"], "a") as events:
    events.write('{{"progress": 0.5, "metrics": {{"seen": 1}}}}' + chr(10))
open({str(gate)!r}).read()
"""

    def send(line: dict[str, Any]) -> None:
        if line["type"] == "progress" and line["metrics"].get("seen"):
            gate.write_text("go on")

    raw = a_specification(tmp_path, python(code))
    assert run_steps(RunSpecification.from_json(raw), Reporter(send), EventStop()) is None


def test_the_environment_is_an_allow_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://user:secret@db/")
    monkeypatch.setenv("LC_TIME", "C")
    code = "import json, os; json.dump(dict(os.environ), open(os.environ['TF_OUTPUTS'], 'w'))"
    ran = run(python(code, env={"MODE": "${{ parameters.mode }}"}), {"mode": "fast"}, threads=3, gpu_indices=[2, 5])
    seen = ran.outputs["train"]
    assert "MONGODB_URI" not in seen
    assert seen["LC_TIME"] == "C"
    assert seen["MODE"] == "fast"
    assert seen["OMP_NUM_THREADS"] == "3"
    assert seen["CUDA_VISIBLE_DEVICES"] == "2,5"


def test_arguments_are_never_seen_by_a_shell(run: Run) -> None:
    code = "import json, os, sys; json.dump({'argv': sys.argv[1:]}, open(os.environ['TF_OUTPUTS'], 'w'))"
    steps = a_command(
        "python", "-c", code, "${{ parameters.name }}", "--n=${{ parameters.a.b }}", "${{ parameters.all }}"
    )
    parameters = {"name": "x; rm -rf / ${{ parameters.a }} $(id)", "a": {"b": 3}, "all": [1, {"k": True}]}
    ran = run(steps, parameters)
    assert ran.outputs["train"]["argv"] == [parameters["name"], "--n=3", '[1,{"k":true}]']


def test_python_means_the_interpreter_in_use_when_there_is_no_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code = "import json, os, sys; json.dump({'at': sys.executable}, open(os.environ['TF_OUTPUTS'], 'w'))"
    assert run(python(code)).outputs["train"]["at"] == sys.executable


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (a_command("no-such-program-here"), "command not found on this node: no-such-program-here"),
        (a_command("python", "${{ parameters.lerning_rate }}"), "did you mean parameters.learning_rate?"),
        (a_command("python", "${{ 1 + 1 }}"), "only dotted names"),
        (a_command("python", env={"LD_PRELOAD": "x.so", "TF_STEP": "y"}), "LD_PRELOAD, TF_STEP"),
        (a_command(), "there is no shell"),
        (python("import os; open(os.environ['TF_OUTPUTS'], 'w').write('[1]')"), "JSON object"),
        (python("import os; open(os.environ['TF_OUTPUTS'], 'w').write('{')"), "not JSON"),
    ],
)
def test_what_cannot_work_is_permanent(run: Run, steps: list[dict[str, Any]], said: str) -> None:
    ran = run(steps, {"learning_rate": 1})
    assert ran.failure is not None
    assert ran.failure.code == "permanent"
    assert said in ran.failure.message


def test_the_last_checkpoint_lies_where_the_next_attempt_looks(run: Run, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "state.json").write_text('{"epoch": 4}')
    code = """
import json, os, pathlib
state = json.loads(pathlib.Path(os.environ["TF_CHECKPOINTS"], "state.json").read_text())
json.dump(state, open(os.environ["TF_OUTPUTS"], "w"))
"""
    ran = run(python(code), checkpoint=str(saved))
    assert ran.outputs["train"] == {"epoch": 4}
    assert ran.of("checkpoint") == []


def test_a_later_command_hands_over_only_its_own_files(run: Run) -> None:
    write = "import os, pathlib; pathlib.Path(os.environ['TF_ARTIFACTS'], '{0}').write_text('{0}')"
    ran = run([*python(write.format("one"), step="first"), *python(write.format("two"), step="second")])
    assert [line["name"] for line in ran.of("artifact")] == ["one", "two"]


def test_a_later_command_can_use_the_outputs_of_an_earlier_step(run: Run) -> None:
    first = python("import os; open(os.environ['TF_OUTPUTS'], 'w').write('{\"best\": 3}')", step="first")
    code = "import os, sys; open(os.environ['TF_OUTPUTS'], 'w').write('{\"got\": %s}' % sys.argv[1])"
    ran = run([*first, *a_command("python", "-c", code, "${{ steps.first.outputs.best }}", step="second")])
    assert ran.outputs["second"] == {"got": 3}


def test_a_command_ended_by_the_stop_is_stopped_not_failed(run: Run) -> None:
    class StopsDuringTheCommand(EventStop):
        asked = 0

        def requested(self) -> bool:
            self.asked += 1
            return self.asked > 1

    ran = run(python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), stop=StopsDuringTheCommand())
    assert ran.failure is not None
    assert ran.failure.code == "stopped"


def test_a_background_process_that_keeps_the_output_open_does_not_hold_the_step(run: Run) -> None:
    code = """
import os, subprocess
left = subprocess.Popen(["sleep", "60"])
open(os.environ["TF_OUTPUTS"], "w").write('{"pid": %d}' % left.pid)
left.returncode = 0
"""
    ran = run(python(code))
    assert ran.failure is None
    os.kill(ran.outputs["train"]["pid"], signal.SIGKILL)


@pytest.mark.parametrize(
    "name", ["LD_LIBRARY_PATH", "ld_preload", "DYLD_INSERT_LIBRARIES", "PYTHONSTARTUP", "TF_OUTPUTS", "A=B", "1A", ""]
)
def test_forbidden_names(name: str) -> None:
    assert forbidden_env({name: "x", "MODE": "x", "TF_CPP_MIN_LOG_LEVEL": "2"}) == [name]


def test_inherited_names() -> None:
    got = inherited_env({"PATH": "p", "AWS_SECRET_ACCESS_KEY": "s", "LC_ALL": "C", "REDIS_URL": "r"})
    assert got == {"PATH": "p", "LC_ALL": "C"}
    assert json.dumps(got)
