"""Files the app ships: the sample data set, presets, icons and styles. Read them through ``importlib.resources``."""
