"""The version, which files of fitted models carry."""

__version__ = "0.1.0"
