"""A user's own handlers and provider, as the pages show them."""
