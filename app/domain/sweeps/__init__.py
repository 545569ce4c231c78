"""Sweeps: searches over a template's parameters. A sweep is a batch whose jobs, its trials, are asked one by one.

Pure: spaces and their checks (`space`, `checks`); a sweep as it is asked for, searched and kept (`asked`, `sweep`,
`definition`); grid and random (`drawing`); trials, all of one sweep, and what follows from them (`trials`, `book`); how
one ends (`ending`); early stopping (`asha`, `judging`); the leaderboard (`ranking`). What a search remembers is its
list of trials, by number; everything here is a function of the sweep and that list.
"""
