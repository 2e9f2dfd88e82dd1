"""What the gateway answers, told in OpenAPI 3.1: the table of its operations, the document, and its page."""
