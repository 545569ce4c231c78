"""The files through which a command and its run speak: parameters and the last checkpoint in; outputs, events,
artifacts and checkpoints out.

A run's steps share the two folders, so what a command hands over is what it made or changed, nothing older.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from workers.steps.context import StepContext, checked_name

Listing = dict[Path, tuple[int, int]]


class Exchange:
    """The files of one step."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._folder = context.work_dir / "exchange" / context.step
        self._folder.mkdir(parents=True, exist_ok=True)
        self.outputs = self._folder / "outputs.json"
        self.events = self._folder / "events.jsonl"
        self.events.touch()
        parameters = self._folder / "parameters.json"
        parameters.touch(mode=0o600)
        parameters.write_bytes(orjson.dumps(dict(context.parameters)))
        if context.last_checkpoint is not None:
            _restore(context.last_checkpoint, context.checkpoints_dir)
        self._before = {**_listing(context.artifacts_dir), **_listing(context.checkpoints_dir)}

    def variables(self) -> dict[str, str]:
        context = self._context
        return {
            "TF_JOB_ID": context.job_id,
            "TF_RUN_NO": str(context.run_no),
            "TF_ATTEMPT": str(context.attempt),
            "TF_STEP": context.step,
            "TF_PARAMETERS": str(self._folder / "parameters.json"),
            "TF_OUTPUTS": str(self.outputs),
            "TF_EVENTS": str(self.events),
            "TF_ARTIFACTS": str(context.artifacts_dir),
            "TF_CHECKPOINTS": str(context.checkpoints_dir),
        }

    def hand_over(self) -> None:
        """Report what the command left in the two folders; a file in a subfolder is named `folder__file`."""
        context = self._context
        for path in self._changed(context.artifacts_dir):
            name = "__".join(path.relative_to(context.artifacts_dir).parts)
            try:
                context.reporter.artifact(checked_name(name), str(path), "file")
            except ValueError as error:
                context.log(f"TF_ARTIFACTS: {error}")
        if self._changed(context.checkpoints_dir):
            context.reporter.checkpoint(str(context.checkpoints_dir))

    def _changed(self, folder: Path) -> list[Path]:
        return sorted(path for path, seen in _listing(folder).items() if self._before.get(path) != seen)


def _listing(folder: Path) -> Listing:
    """The files below a folder with their size and time; links are not followed."""
    found: Listing = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            found[path] = (status.st_size, status.st_mtime_ns)
    return found


def _restore(checkpoint: Path, folder: Path) -> None:
    """Put the last checkpoint where the command looks for it."""
    if checkpoint.is_dir():
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    elif checkpoint.is_file():
        shutil.copyfile(checkpoint, folder / checkpoint.name)
