"""Widgets of the Setup page."""
