"""Benchmarks: ours beside the raw parts in one run. `make bench`, or `python -m bench NAME …`."""
