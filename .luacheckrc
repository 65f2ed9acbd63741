-- What Redis' sandbox has, and no more: `std = 'lua51'` would accept os, io, require and print.
-- `scripts/lint-lua.mjs` adds the names in the head of each command: KEYS.owner, ARGV.fence, …
stds.redis = {
  read_globals = {
    'assert', 'cjson', 'cmsgpack', 'error', 'getmetatable', 'ipairs', 'next', 'pairs', 'pcall', 'rawequal', 'rawget',
    'rawset', 'select', 'setmetatable', 'struct', 'tonumber', 'tostring', 'type', 'unpack', 'xpcall',
    bit = { fields = { 'tobit', 'tohex', 'bnot', 'band', 'bor', 'bxor', 'lshift', 'rshift', 'arshift', 'rol', 'ror', 'bswap' } },
    math = { fields = { 'abs', 'ceil', 'floor', 'fmod', 'huge', 'log', 'max', 'min', 'modf', 'pow', 'sqrt' } },
    redis = {
      fields = {
        'call', 'pcall', 'error_reply', 'status_reply', 'sha1hex', 'log', 'setresp', 'replicate_commands', 'breakpoint', 'debug',
        'LOG_DEBUG', 'LOG_VERBOSE', 'LOG_NOTICE', 'LOG_WARNING',
      },
    },
    string = { fields = { 'byte', 'char', 'find', 'format', 'gmatch', 'gsub', 'len', 'lower', 'match', 'rep', 'reverse', 'sub', 'upper' } },
    table = { fields = { 'concat', 'insert', 'maxn', 'remove', 'sort' } },
    KEYS = { fields = {} },
    ARGV = { fields = {} },
  },
}
std = 'redis'
max_line_length = 150
