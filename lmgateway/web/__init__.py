"""The HTTP handlers and middlewares: the proxy, the admin API, monitoring, health and the pages."""
