"""The app's end of the wire: start workers, hear them, end them. ``process`` needs no Qt."""
