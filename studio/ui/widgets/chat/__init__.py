"""Widgets of the Chat page."""
