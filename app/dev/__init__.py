"""A real MongoDB and Valkey for `dev`, `demo` and the tests, so that one command is enough on a fresh machine."""
