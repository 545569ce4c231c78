"""A discrete-event simulator that runs the planner of the service, and the policies that others use, on the same jobs.

`python -m bench.sim` prints the table of targets of `docs/scheduling.md` with what was reached, and writes it, its
figures and its plots into `bench/results/`. Times are µs since 2020, as in the planner; the clock is the simulator's.
"""
