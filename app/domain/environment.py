"""Which environment variables a command may be given, and which it inherits.

A command starts with an allow-list of the worker's variables, so that the service's own credentials never reach it.
What a job adds is refused when it would act on the loader or the interpreter before the program itself runs, or when
it belongs to the orchestrator (`TF_…`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MARK = "TF_MARK"
"""Says which worker a process descends from, so that it is found again however it left its parent and its session."""
INHERITED = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES", MARK})
INHERITED_PREFIXES = ("LC_",)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
OWN_VARIABLES = (
    *("TF_JOB_ID", "TF_RUN_NO", "TF_ATTEMPT", "TF_STEP"),
    *("TF_PARAMETERS", "TF_OUTPUTS", "TF_ARTIFACTS", "TF_CHECKPOINTS", "TF_EVENTS"),
    MARK,
)
"""What the orchestrator itself tells a command."""
_FORBIDDEN = frozenset(
    {
        *OWN_VARIABLES,
        *(
            "BASH_ENV",
            "ENV",
            "IFS",
            "GCONV_PATH",
            "GETCONF_DIR",
            "GLIBC_TUNABLES",
            "HOSTALIASES",
            "LOCALDOMAIN",
            "LOCPATH",
        ),
        *("NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "NODE_OPTIONS", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT"),
        *("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONBREAKPOINT", "PYTHONUSERBASE"),
        *("JAVA_TOOL_OPTIONS", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    }
)
_FORBIDDEN_PREFIXES = ("LD_", "DYLD_")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def forbidden_env(env: Mapping[str, str]) -> list[str]:
    """The names in `env` that a step may not set: ill-formed, reserved, or acting before the program runs. Sorted."""
    return sorted(name for name in env if _is_forbidden(name))


def inherited_env(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of the worker's environment that a command gets to see."""
    allowed = INHERITED | set(THREAD_VARIABLES)
    return {k: v for k, v in environment.items() if k in allowed or k.startswith(INHERITED_PREFIXES)}


def thread_env(threads: int) -> dict[str, str]:
    """The variables that hold numeric libraries to `threads` threads in a program that starts afresh."""
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, threads)))


def _is_forbidden(name: str) -> bool:
    upper = name.upper()
    return not _NAME.fullmatch(name) or upper in _FORBIDDEN or upper.startswith(_FORBIDDEN_PREFIXES)
