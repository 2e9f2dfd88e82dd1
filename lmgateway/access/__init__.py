"""Who may come in: networks, keys, host names and origins."""
