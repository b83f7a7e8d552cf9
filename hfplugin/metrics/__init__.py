"""What hfplugin counts over all its calls, and how it is told: each call adds a line, and reading adds them up."""
