"""Workflows: graphs of steps, each of them a job. What may be defined, and what follows from what has ended. Pure."""
