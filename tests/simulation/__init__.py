"""Histories of a whole installation, drawn from a seed, and the laws that each of their steps has to keep.

`python tests/simulation --histories N --seed S` plays N of them; test_simulation.py plays a thousand.
"""
