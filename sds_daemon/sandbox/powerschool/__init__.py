"""A PowerSchool server on loopback: tokens, `/ws/v1`, and its administration."""
