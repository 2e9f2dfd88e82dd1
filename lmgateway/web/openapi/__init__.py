"""The table of operations rendered as an OpenAPI 3.1 document."""
