"""The use-cases of workflows: define, run, advance, control, look."""
