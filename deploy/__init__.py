"""How it runs: the local runner, the command line, and what production needs."""
