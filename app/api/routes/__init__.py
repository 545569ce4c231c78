"""The operations, one file a subject. Each asks a use-case or a port and hands the value to a view."""
