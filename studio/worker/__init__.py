"""The child process: reads commands, runs one job, writes events."""
