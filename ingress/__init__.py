"""Accept and append: take a provider's POST, check who sent it, put its bytes on disk, say so. Never parses a body."""
