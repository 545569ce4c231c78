"""The command `tensorfleet`. Trouble at start is one line on stderr after `✗`, with the exit code it names.

Commands of other packages join by the entry-point group `tensorfleet.commands`; so the worker is found without an
import. Each command loads its own modules only when it is called: `version` must not wait for the web framework.
"""

import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated

import typer

from app.startup import TROUBLE_SIGN, StartupTrouble

app = typer.Typer(
    name="tensorfleet",
    help="TensorFleet Job Orchestrator: run machine-learning jobs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Port = Annotated[int | None, typer.Option(help="Port of the HTTP API; the setting PORT when left out.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder for embedded stores; the setting DATA_DIR when left out.")]
Workers = Annotated[int, typer.Option(min=0, max=64, help="Worker processes to start.")]


def _tell_version(asked: bool) -> None:
    if asked:
        show_version()
        raise typer.Exit


@app.callback()
def tensorfleet(
    tell: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that need no command."""
    del tell  # its callback has told


@app.command()
def serve(port: Port = None) -> None:
    """Serve the HTTP API, the event streams and the scheduler."""
    import_module("app.cli.serve").serve(port)


@app.command()
def dev(port: Port = None, data_dir: DataDir = None, workers: Workers = 1) -> None:
    """Start everything on this machine: embedded stores, API, scheduler and workers, until Ctrl-C or SIGTERM."""
    raise typer.Exit(import_module("app.cli.dev").dev(port, data_dir, workers))


@app.command()
def demo(port: Port = None, data_dir: DataDir = None, workers: Workers = 1) -> None:
    """Start everything and train a first model through it."""
    raise typer.Exit(import_module("app.cli.demo").demo(port, data_dir, workers))


@app.command()
def replay(file: Annotated[Path, typer.Argument(help="A record, as GET /api/v1/decisions/ID answers it.")]) -> None:
    """Run the planner on a recorded decision: 0 when it decides the same, 1 when not, 2 for no record."""
    raise typer.Exit(import_module("app.cli.replay").run(file))


@app.command(name="version")
def show_version() -> None:
    """Print the version."""
    typer.echo(version("tensorfleet"))


def _join_other_commands() -> None:
    """Commands of the group `tensorfleet.commands`: each takes the arguments after its name, and answers a code."""
    for point in entry_points(group="tensorfleet.commands"):

        def run(context: typer.Context, name: str = point.name) -> None:
            [found] = [p for p in entry_points(group="tensorfleet.commands") if p.name == name]
            raise typer.Exit(found.load()(context.args))

        settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
        app.command(name=point.name, help=f"Run the {point.name} process.", context_settings=settings)(run)


def main() -> None:
    """Entry point of the console script."""
    _join_other_commands()
    try:
        app()
    except StartupTrouble as trouble:
        print(f"{TROUBLE_SIGN}{trouble.message}", file=sys.stderr)
        sys.exit(trouble.exit_code)


if __name__ == "__main__":
    main()
