"""What happens to shared state, each step in Lua for Redis and in Python.

A step is atomic in both, goes by the clock of the store, and answers four numbers.
The two versions do the same; a test holds them to it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ADMIT",
    "CLOSED",
    "FAILURE",
    "FORCE",
    "ISOLATED",
    "OPEN",
    "PROBE",
    "RELEASE",
    "RESERVE",
    "SETTLE",
    "SUCCESS",
    "WITHDRAW",
    "Answer",
    "Script",
    "Table",
]

# What a breaker answers: (verdict, epoch, seconds to wait, failures in a row).
CLOSED, PROBE, OPEN, ISOLATED = range(4)
# How a call ended.
SUCCESS, FAILURE, RELEASE = range(3)

BUCKETS = 10

Answer = tuple[float, float, float, float]
Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Script:
    """One step: its source in Lua, and the same in Python.

    The Python version gets the state of the entity, the time, and the arguments.
    """

    lua: str
    python: Callable[..., Answer]


# Throttle ------------------------------------------------------------------------

# KEYS: the entity. ARGV: interval, tolerance, longest wait.
RESERVE_LUA = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local interval, tolerance, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = tonumber(redis.call('GET', KEYS[1]) or 0)
local wait = tat - now - tolerance
if wait > longest then
  return {'0', '0', string.format('%.6f', wait), '0'}
end
local mark = math.max(tat, now) + interval
redis.call('SET', KEYS[1], string.format('%.6f', mark), 'PX', math.ceil((mark - now) * 1000) + 1)
return {'1', '0', string.format('%.6f', math.max(0, wait)), '0'}
"""


def reserve(
    table: Table, now: float, interval: float, tolerance: float, longest: float
) -> Answer:
    """Reserve the next turn of a throttle; answer whether, and how long to wait."""
    tat = table.get("tat", 0.0)
    wait = tat - now - tolerance
    if wait > longest:
        return 0, 0, wait, 0
    table["tat"] = max(tat, now) + interval
    return 1, 0, max(0.0, wait), 0


RESERVE = Script(RESERVE_LUA, reserve)


# Retry budget --------------------------------------------------------------------

# KEYS: the balance. ARGV: what was earned since, the most there can be.
WITHDRAW_LUA = """
local most = tonumber(ARGV[2])
local balance = tonumber(redis.call('GET', KEYS[1]) or most)
balance = math.max(0, math.min(most, balance + tonumber(ARGV[1])))
local granted = '0'
if balance >= 1 then
  granted = '1'
  balance = balance - 1
end
local left = string.format('%.17g', balance)
redis.call('SET', KEYS[1], left, 'EX', 86400)
return {granted, '0', '0', left}
"""


def withdraw(table: Table, _now: float, earned: float, most: float) -> Answer:
    """Take one retry out of a budget; answer whether, and last what is left."""
    balance = max(0.0, min(most, table.get("balance", most) + earned))
    is_granted = balance >= 1
    table["balance"] = balance - is_granted
    return int(is_granted), 0, 0, table["balance"]


WITHDRAW = Script(WITHDRAW_LUA, withdraw)


# Circuit breaker -----------------------------------------------------------------

# KEYS: the circuit (a hash), its probes (a sorted set), its window (a hash).
PRELUDE_LUA = """
local circuit, probes, window = KEYS[1], KEYS[2], KEYS[3]
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local function get(name) return tonumber(redis.call('HGET', circuit, name) or 0) end
local function set(...)
  redis.call('HSET', circuit, ...)
  redis.call('EXPIRE', circuit, 86400)
end
local function answer(verdict, wait)
  return {tostring(verdict), tostring(get('epoch')), string.format('%.6f', wait or 0),
          tostring(get('failures'))}
end
local function change(open_until)
  set('epoch', get('epoch') + 1, 'open_until', string.format('%.6f', open_until),
      'half', 0, 'failures', 0, 'successes', 0)
  -- An open circuit is not forgotten before its time.
  redis.call('EXPIRE', circuit, 86400 + math.ceil(math.min(1e9, math.max(0, open_until - now))))
  redis.call('DEL', probes)
  if open_until == 0 then redis.call('DEL', window) end
end
local function count(name, number, seconds)
  if number == 0 or seconds == 0 then return end
  local slot = math.floor(now * 10 / seconds)
  -- The first of a slot drops what is too old, or a window without failures would grow.
  if redis.call('HINCRBY', window, name .. slot, number) == number then
    for _, field in ipairs(redis.call('HKEYS', window)) do
      if tonumber(string.sub(field, 2)) < slot - 9 then redis.call('HDEL', window, field) end
    end
  end
  redis.call('EXPIRE', window, math.ceil(seconds) + 1)
end
local function present()
  if get('isolated') == 1 then return answer(3) end
  local open_until = get('open_until')
  if open_until == 0 then return answer(0) end
  return answer(2, math.max(0, open_until - now))
end
"""

# ARGV: seconds open, probes, name of the lease, successes to count, window in seconds.
ADMIT_LUA = (
    PRELUDE_LUA
    + """
local reset, allowed, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local open_until = get('open_until')
if get('isolated') == 1 then return answer(3) end
if open_until == 0 then
  count('s', tonumber(ARGV[4]), tonumber(ARGV[5]))
  return answer(0)
end
if get('half') == 0 then
  if now < open_until then return answer(2, open_until - now) end
  change(open_until)
  set('half', 1)
end
redis.call('ZREMRANGEBYSCORE', probes, '-inf', now)
if redis.call('ZCARD', probes) + get('successes') >= allowed then
  local first = redis.call('ZRANGE', probes, 0, 0, 'WITHSCORES')
  return answer(2, first[2] and tonumber(first[2]) - now or 0)
end
redis.call('ZADD', probes, string.format('%.6f', now + reset), lease)
redis.call('EXPIRE', probes, 86400)
return answer(1)
"""
)

# ARGV: epoch, lease or '', how it ended, seconds open, threshold, probes, failure rate
# or 0, window in seconds or 0, fewest calls in the window, further successes to count.
SETTLE_LUA = (
    PRELUDE_LUA
    + """
local epoch, lease, ended, reset = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local threshold, allowed, rate = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local seconds, fewest, extra = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
-- A lease first, since who gives one back may not know its epoch.
if lease ~= '' and redis.call('ZREM', probes, lease) == 0 then return present() end
if epoch ~= get('epoch') or ended == 2 then return present() end
count('s', extra, seconds)
if ended == 0 then
  if lease == '' then
    set('failures', 0)
    count('s', 1, seconds)
  elseif get('successes') + 1 >= allowed then
    change(0)
  else
    set('successes', get('successes') + 1)
  end
  return present()
end
if lease ~= '' then
  change(now + reset)
  return present()
end
set('failures', get('failures') + 1)
count('f', 1, seconds)
local tripped = get('failures') >= threshold
if rate > 0 then
  -- The failure just counted has dropped what is too old.
  local failed, total = 0, 0
  local fields = redis.call('HGETALL', window)
  for i = 1, #fields, 2 do
    total = total + fields[i + 1]
    if string.sub(fields[i], 1, 1) == 'f' then failed = failed + fields[i + 1] end
  end
  tripped = total >= fewest and failed >= rate * total
end
if tripped then change(now + reset) end
return present()
"""
)

# ARGV: 1 to isolate, 0 to close.
FORCE_LUA = (
    PRELUDE_LUA
    + """
change(0)
set('isolated', tonumber(ARGV[1]))
if ARGV[1] == '1' then redis.call('PERSIST', circuit) end
return present()
"""
)


class Circuit:
    """The Python version: the same steps on a dict."""

    def __init__(self, table: Table, now: float) -> None:
        self.table = table
        self.now = now
        if not table:
            table.update(epoch=0, open_until=0.0, isolated=0, half=0, failures=0)
            table.update(successes=0, probes={}, window={})

    def answer(self, verdict: int, wait: float = 0.0) -> Answer:
        return verdict, self.table["epoch"], wait, self.table["failures"]

    def present(self) -> Answer:
        if self.table["isolated"]:
            return self.answer(ISOLATED)
        if not self.table["open_until"]:
            return self.answer(CLOSED)
        return self.answer(OPEN, max(0.0, self.table["open_until"] - self.now))

    def change(self, open_until: float) -> None:
        self.table["epoch"] += 1
        self.table.update(open_until=open_until, half=0, failures=0, successes=0)
        self.table["probes"] = {}
        if not open_until:
            self.table["window"] = {}

    def count(self, kind: str, number: float, seconds: float) -> None:
        if number and seconds:
            slot = math.floor(self.now * BUCKETS / seconds)
            window = self.table["window"]
            # The first of a slot drops what is too old, or a window without failures
            # would grow.
            if (kind, slot) not in window:
                oldest = slot - BUCKETS + 1
                window = {s: n for s, n in window.items() if s[1] >= oldest}
                self.table["window"] = window
            window[kind, slot] = window.get((kind, slot), 0) + number

    def has_failed_enough(self, rate: float, fewest: float) -> bool:
        # The failure just counted has dropped what is too old.
        window = self.table["window"]
        total = sum(window.values())
        failed = sum(number for (kind, _), number in window.items() if kind == "f")
        return bool(total >= fewest and failed >= rate * total)


def admit(  # noqa: PLR0913, PLR0917 - the arguments of the script
    table: Table,
    now: float,
    reset: float,
    allowed: float,
    lease: str,
    successes: float,
    seconds: float,
) -> Answer:
    """Answer whether a call may be made, perhaps as a probe."""
    circuit = Circuit(table, now)
    if table["isolated"]:
        return circuit.answer(ISOLATED)
    if not table["open_until"]:
        circuit.count("s", successes, seconds)
        return circuit.answer(CLOSED)
    if not table["half"]:
        if now < table["open_until"]:
            return circuit.answer(OPEN, table["open_until"] - now)
        circuit.change(table["open_until"])
        table["half"] = 1
    probes = {name: end for name, end in table["probes"].items() if end > now}
    table["probes"] = probes
    if len(probes) + table["successes"] >= allowed:
        return circuit.answer(OPEN, min(probes.values(), default=now) - now)
    probes[lease] = now + reset
    return circuit.answer(PROBE)


def settle(  # noqa: PLR0913, PLR0917 - the arguments of the script
    table: Table,
    now: float,
    epoch: float,
    lease: str,
    ended: float,
    reset: float,
    threshold: float,
    allowed: float,
    rate: float,
    seconds: float,
    fewest: float,
    extra: float,
) -> Answer:
    """Note how a call ended."""
    circuit = Circuit(table, now)
    # A lease first, since who gives one back may not know its epoch.
    if lease and table["probes"].pop(lease, None) is None:
        return circuit.present()
    if epoch != table["epoch"] or ended == RELEASE:
        return circuit.present()
    circuit.count("s", extra, seconds)
    if ended == SUCCESS:
        _settle_success(circuit, lease, allowed, seconds)
    elif lease:
        circuit.change(now + reset)
    else:
        table["failures"] += 1
        circuit.count("f", 1, seconds)
        tripped = table["failures"] >= threshold
        if rate:
            tripped = circuit.has_failed_enough(rate, fewest)
        if tripped:
            circuit.change(now + reset)
    return circuit.present()


def _settle_success(
    circuit: Circuit, lease: str, allowed: float, seconds: float
) -> None:
    if not lease:
        circuit.table["failures"] = 0
        circuit.count("s", 1, seconds)
    elif circuit.table["successes"] + 1 >= allowed:
        circuit.change(0.0)
    else:
        circuit.table["successes"] += 1


def force(table: Table, now: float, isolated: float) -> Answer:
    """Isolate a circuit, or close it."""
    circuit = Circuit(table, now)
    circuit.change(0.0)
    table["isolated"] = isolated
    return circuit.present()


ADMIT = Script(ADMIT_LUA, admit)
SETTLE = Script(SETTLE_LUA, settle)
FORCE = Script(FORCE_LUA, force)
