"""`make run`: all parts of Curbside on one machine, in the foreground, watched over by supervisor."""
