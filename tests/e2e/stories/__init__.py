"""Stories: what a user submits and waits for, told while every process is killed in the middle of it."""
