"""The provider layer; here only names that every call needs: the built-in providers', and the file of prices'."""

# provider type -> "module:attribute" of its ProviderSpec; imported at first use only.
BUILT_IN = {
    "aws": "hfplugin.providers.aws.spec:SPEC",
    "simulated": "hfplugin.providers.simulated.spec:SPEC",
}

# The kind whose configuration files may lack `providerType`: those of IBM's own AWS plug-in do.
DEFAULT_TYPE = "aws"

# The prices that were asked for (see base/prices.py), in the cache's directory: templates tell them.
PRICES_FILE = "prices.json"
