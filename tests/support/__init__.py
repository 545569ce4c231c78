"""What the tests share: builders, waiting, clocks, real servers."""
