"""The contract: what crosses a boundary between ingress, workers and deploy, or between Curbside and a provider.

Nothing here does I/O, reads a clock or reads the environment. `ingress` and `workers` import `schemas`; `schemas` imports
neither.
"""
