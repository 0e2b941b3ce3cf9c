"""Everything that runs Curbside: command line, local runner, Flower's extension, simulator, proxy configurations."""
