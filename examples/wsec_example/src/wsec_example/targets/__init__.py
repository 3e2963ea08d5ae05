"""The machines of this package, one TOML file each."""
