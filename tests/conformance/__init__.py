"""Providers in plain Python, right and wrong, for the conformance suite to be held against."""
