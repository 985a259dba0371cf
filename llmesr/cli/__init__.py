"""The command line: one file per stage, each adding its commands to the one ``app``."""
