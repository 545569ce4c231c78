"""What a step of one's own is written with: `from workers.steps import PermanentFailure, StepContext`.

Importing this package imports no machine-learning library; the built-in steps load theirs when they are first used.
"""

from workers.steps.context import StepContext
from workers.steps.failures import Checkpointed, PermanentFailure, Stopped

__all__ = ["Checkpointed", "PermanentFailure", "StepContext", "Stopped"]
