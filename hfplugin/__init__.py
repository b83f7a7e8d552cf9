"""hfplugin: a HostFactory provider plug-in for IBM Spectrum Symphony."""

__version__ = "0.1.0"
