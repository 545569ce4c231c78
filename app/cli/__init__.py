"""The command line: thin shells over the client (user commands) and over the processes (serve, worker, dev, demo)."""
