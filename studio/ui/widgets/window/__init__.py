"""Widgets of the window itself: its frame, the list of runs, help, and dialogs about runs."""
