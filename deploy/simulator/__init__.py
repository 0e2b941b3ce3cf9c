"""Simulates orders of both providers, posts their events, and compares the ledger with what it must hold.

The core is pure. Lifecycles (`instacart_lifecycle`, `afosto_lifecycle`) become provider events with their bodies (`flat`,
`envelope`), events become a schedule of posts (`plan`), and acknowledged events become expected rows (`expected`). I/O is at
the edge: `client` posts, `ledger_reader` reads the ledger. `comparison` compares. Nothing here calls the code it verifies.
"""
