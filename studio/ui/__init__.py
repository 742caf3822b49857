"""The window: Qt widgets over supervise and core. Loads no torch and no engine."""
