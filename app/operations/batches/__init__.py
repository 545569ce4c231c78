"""The use-cases of batches: submit, control, follow their jobs."""
