"""The shapes of the HTTP contract. Requests refuse unknown fields; answers always carry every field."""
