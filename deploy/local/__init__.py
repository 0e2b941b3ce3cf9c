"""`make run`: all services of Curbside on one machine, in the foreground, supervised by supervisord."""
