"""What tests of several rooms share; imported as `support` (pytest puts `tests` on the path)."""
