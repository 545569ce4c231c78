"""How much a job needs, from what it is and from what runs like it used. Pure.

    features → prior → residuals of past runs → quantile → plan, with its evidence

A *prior* says from a job's parameters and data what a run should need. A *residual* is the logarithm of what a past run
used over its own prior, so that runs on small and on large data tell about each other. The plan is the prior, times a
high quantile of the residuals of runs that were alike, times a margin that shrinks with their number.
"""
