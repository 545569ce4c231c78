"""What finished runs and the state of the queue say in sum: rollups, windows over them, figures, series. Pure."""
