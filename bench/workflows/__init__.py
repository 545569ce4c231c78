"""What workflows and batches cost: advances of large graphs, how soon children start, many jobs as one thing."""
