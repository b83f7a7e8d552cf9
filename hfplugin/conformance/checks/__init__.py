"""The checks: a module for each verb and each sort of bad day; every.py puts them in order."""
