"""The HTTP face: routes, schemas, errors, the OpenAPI document, and the event streams."""
