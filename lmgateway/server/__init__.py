"""The layers below the HTTP handlers: connections and their limits, sockets, TLS, signals, the event loop."""
