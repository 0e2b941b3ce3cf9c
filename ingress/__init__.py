"""Accept and append: authenticate a provider's POST, store its raw body on disk, and answer. The ingress never parses a body."""
