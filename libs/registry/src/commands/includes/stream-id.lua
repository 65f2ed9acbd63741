-- following(id): the smallest stream id after this one.

local function following(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.format('%s-%.0f', ms, seq + 1)
end
