"""The use-cases: what the API, the scheduler and the workers do to jobs, over ports.

Each loads, lets the domain decide, and commits; the effects of a won change stand in one place, `effects`.
"""
