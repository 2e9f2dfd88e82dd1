"""What LAN clients meet: middlewares, the proxy, the admin API, health."""
