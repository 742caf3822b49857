"""The five pages of the window."""
