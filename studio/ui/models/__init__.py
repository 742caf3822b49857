"""Qt item models and what the window knows of an open run."""
