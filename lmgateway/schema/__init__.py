"""The JSON that the gateway itself speaks, by area. Names are camelCase on the wire."""
