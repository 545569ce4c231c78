"""What a fork server does to itself. It is the last module that it preloads; nothing else imports it.

It leaves the worker's session, so that a signal for the worker's process group does not end the runs before the worker
has drained them; it adopts what dead runs leave behind; and it moves what is loaded out of the garbage collector's
sight, so that a collection in a run does not copy the shared pages. Adopted processes are unknown to multiprocessing,
which warns about each that it reaps; that is how it should be here.
"""

from __future__ import annotations

import gc
import os
import warnings

from workers.runners.adoption import adopt_orphans

if os.getsid(0) != os.getpid():
    os.setsid()
adopt_orphans()
warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")
gc.collect()
gc.freeze()
