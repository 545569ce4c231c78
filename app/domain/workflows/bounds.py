"""How large a workflow may be. What is larger is refused when defined, or fails the step that would make it so."""

from __future__ import annotations

MAX_STEPS = 10_000
MAX_ITEMS = 10_000
"""Items of one `for_each`."""
MAX_NODES = 20_000
"""Steps and items of a workflow together."""
MAX_DEFINITION = 8 << 20
"""Bytes of a definition as JSON."""
MAX_EDGES = 100_000
MAX_INPUTS = 100
MAX_EXPRESSIONS = 200
"""Of one step."""
MAX_ALL_EXPRESSIONS = 20_000
"""Of a definition."""
MAX_HISTORY = 1_000
"""Entries of a workflow's history, beyond which users change it no more."""
MAX_APPROVAL = 365 * 86_400.0
"""Longest time for an approval, in seconds."""
MAX_MESSAGE = 2_000
