"""Simulated trade: orders that live as both providers' orders do, posted to any deployment and compared with its ledger.

The core is pure: lives (`instacart_life`, `afosto_life`) become facts told in bodies (`flat`, `envelope`, `afosto_bodies`), facts a
schedule of posts (`plan`), and facts that were acknowledged the rows to be expected (`expected`). I/O is at the edge: `poster` posts,
`books` reads the ledger, `verdict` compares. Nothing here calls the code that it checks.
"""
