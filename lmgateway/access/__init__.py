"""Access control: addresses, keys, host names and origins."""
