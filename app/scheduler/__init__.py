"""What decides when and where each job runs: pure planning over a snapshot, and the loops that load, call it and apply.

Pure: snapshot, ordering, placement, pool, planner, verdicts, forecast, repairs, set_aside. One cycle: cycle, loading,
commit, expectations, publisher. Beside it: reconciler with index_keeper and ledger, timers. Loops: leader, service.
"""
