"""Random and mutated bodies through everything that reads a provider's bytes: `python -m tests.fuzz --help`.

`mutations` damages a body, `judge` runs one through the decoders and says what may not happen, `loop` counts outcomes over
many, `guided` lets the fuzzer atheris choose them by the code they reach. `strategies` builds whole bodies from the wire
models, for the property tests in tests/unit.
"""
