"""Widgets of the comparison of runs."""
