"""The JSON of the gateway's own API, by area. Names are camelCase on the wire."""
