-- Draws from every bucket, or from none when one of them holds too little; domain/rate-limit.ts says the same in TypeScript.
--   KEYS  one hash per bucket: tokens (a double in full precision), at (milliseconds)
--   ARGV  the cost; how many of the buckets decide: the others stand aside, are drawn from each or none of them, and only with those
--         that decide (none decides: a charge, which takes what there is, or gives back, and is never refused); then for each bucket
--         its capacity and its window in milliseconds
--   returns 1 or 0 (drawn or not), the same for those aside, then the tokens in each bucket, as text because Redis cuts numbers to integers
-- The clock is that of Redis, so that replicas whose clocks differ cannot refill a bucket twice. Reading it before a write
-- is safe because effects are replicated, not scripts (Redis 5 and later, Valkey).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local cost = tonumber(ARGV[1])
local deciding = tonumber(ARGV[2])
local drawn, aside = 1, 1
local buckets = {}

for i, key in ipairs(KEYS) do
  local capacity = tonumber(ARGV[2 * i + 1])
  local window = tonumber(ARGV[2 * i + 2])
  local stored = redis.call('HMGET', key, 'tokens', 'at')
  local left, since = tonumber(stored[1] or capacity), tonumber(stored[2] or now)
  if since > now + window then left, since = capacity, now end
  local at = math.max(now, since)
  local tokens = math.min(capacity, left + ((at - since) * capacity) / window)
  if deciding > 0 and tokens < cost then
    if i <= deciding then drawn = 0 else aside = 0 end
  end
  buckets[i] = { key = key, capacity = capacity, window = window, tokens = tokens, at = at }
end
if drawn == 0 then aside = 0 end

local reply = { drawn, aside }
for i, bucket in ipairs(buckets) do
  -- A refused draw writes nothing: what is stored says the same later, and a flood of refusals costs no replication.
  if (i <= deciding and drawn or aside) == 1 then
    bucket.tokens = math.min(bucket.capacity, math.max(0, bucket.tokens - cost))
    local untilFull = math.ceil((bucket.capacity - bucket.tokens) * bucket.window / bucket.capacity) + bucket.at - now
    redis.call('HSET', bucket.key, 'tokens', string.format('%.17g', bucket.tokens), 'at', string.format('%.0f', bucket.at))
    -- A full bucket is the same as none.
    redis.call('PEXPIRE', bucket.key, string.format('%.0f', math.max(1, untilFull)))
  end
  reply[i + 2] = string.format('%.17g', bucket.tokens)
end
return reply
