"""Machines on a shelf: a provider for hfplugin in a package of its own, which hfplugin knows nothing of."""
