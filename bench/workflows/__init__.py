"""What workflows cost: an advance of a large graph, and how soon children start."""
"""Many jobs as one thing, and jobs that wait for each other: what it costs."""
