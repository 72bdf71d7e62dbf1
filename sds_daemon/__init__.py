"""School Data Sync that a school runs itself."""

__version__ = "0.1.0"
