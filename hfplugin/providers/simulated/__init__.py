"""A provider with no cloud: its machines are lines in files, and what becomes of them is drawn from a seed.

For tests of HostFactory without an account, for load tests of a scaling policy, and to be copied by authors of
providers. Read it in this order: `spec`, `configuration`, `template`, `provider`, `places`, `launching`,
`operations`, `groups`; then the cloud itself: `cloud`, `fate`, `seen`, and its console: `__main__`.
"""
