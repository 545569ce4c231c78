"""Sweeps: searches over a template's parameters. A sweep is a batch whose jobs, its trials, are asked one by one.

Pure: spaces and their checks (`space`, `checks`), grid and random (`drawing`), trials and what follows from them
(`trials`), early stopping (`asha`), the leaderboard (`ranking`). What a search remembers is its list of trials, by
number; everything here is a function of the sweep and that list.
"""
