"""The contract: all data that crosses a boundary between services, or between us and a provider.

Nothing here does I/O, reads a clock or reads the environment. `ingress` and `workers` import `schemas`; `schemas` imports
neither.
"""
