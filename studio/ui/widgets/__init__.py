"""Widgets that pages are put together from: here those that several use, in the folders those of one page."""
