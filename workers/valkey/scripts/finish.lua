-- Finishes what a script that stopped has still to do, if there is no other script that would.
--
-- KEYS: counters
commit_finish(KEYS[1])
