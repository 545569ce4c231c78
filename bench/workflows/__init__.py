"""Many jobs as one thing, and jobs that wait for each other: what it costs."""
