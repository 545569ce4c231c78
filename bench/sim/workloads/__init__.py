"""Shapes of work: the design's own, and four that are drawn anew from published figures of public traces.

The traces themselves are not used. What is written "from memory, not re-read" was not compared with its source.
"""
