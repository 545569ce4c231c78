"""A real process of the service with protections taken off, or faults put in: the only place where either happens.

`python -m tests.chaos.doctored [--light] [--without=PROTECTION …] [--fault=FAULT[:VALUE] …] -- serve|worker`. With none
of them it is the plain process. Nothing in the service knows of this: names of its modules are replaced before it
starts, and one that no longer exists is an error, so that no negative control can pass because it removed nothing.
"""

from __future__ import annotations

import argparse
import sys

from app.cli import main as cli
from tests.chaos.faults import FAULTS
from tests.chaos.replacing import replace
from tests.chaos.unprotected import PROTECTIONS


def travel_light() -> None:
    """The fork server loads no library for machine learning: no witness needs one, and each start is much shorter."""
    from workers.child import PRELOAD
    from workers.runners.nursery import Nursery

    kept = [name for name in PRELOAD if name.startswith("workers.") and ".ml." not in name]
    replace(Nursery.__init__, "__defaults__", (kept,))


def main() -> None:
    """Change what is asked for, then be the process."""
    parser = argparse.ArgumentParser(prog="tests.chaos.doctored")
    parser.add_argument("--without", action="append", default=[], choices=sorted(PROTECTIONS))
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--light", action="store_true")
    parser.add_argument("command", choices=("serve", "worker"))
    asked = parser.parse_args()
    if asked.light:
        travel_light()
    for name in asked.without:
        PROTECTIONS[name].remove(asked.command)
    for text in asked.fault:
        name, _, value = text.partition(":")
        FAULTS[name](value)
    sys.argv = ["tensorfleet", asked.command]
    cli.main()


if __name__ == "__main__":
    main()
