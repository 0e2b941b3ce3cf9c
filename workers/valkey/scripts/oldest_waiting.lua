-- Finds the oldest event among up to 1,000 claim checks after an id. A claim check names its oldest event first; one that contains
-- the body does not need the inbox. Writes nothing.
--
-- KEYS: todo stream   ARGV: the id after which to read
-- Returns: the oldest event's id ('' if there is none), and the id of the last claim check read
local oldest = ''
local last = read_checks(KEYS[1], ARGV[1], 1000, function(events, has_body)
  local id = string.match(events, '^%S+')
  if not has_body and (oldest == '' or is_older(id, oldest)) then oldest = id end
end)
return {oldest, last}
