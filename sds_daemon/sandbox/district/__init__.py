"""An invented school district: its tables, how it is made, and how it changes."""
