"""The use-cases of sweeps: submit, ask, drive on, rank."""
