"""The provider layer; here only the names of the built-in providers, which every call needs."""

# provider type -> "module:attribute" of its ProviderSpec; imported at first use only.
BUILT_IN = {
    "aws": "hfplugin.providers.aws.spec:SPEC",
    "simulated": "hfplugin.providers.simulated.spec:SPEC",
}

# The kind whose configuration files may lack `providerType`: those of IBM's own AWS plug-in do.
DEFAULT_TYPE = "aws"
