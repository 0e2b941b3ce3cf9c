"""The published documents, generated from the wire models: AsyncAPI of what is received, OpenAPI of the HTTP interface."""
