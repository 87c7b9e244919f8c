-- Posts one JSON body for ever; prints what wrk measured as one line of JSON.
-- wrk … URL -- BODY_FILE [MILLISECONDS between a connection's answer and its next request]

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = file:read("*a")
  file:close()
  if arguments[2] then
    local pause = tonumber(arguments[2])
    function delay() return math.random(0, 2 * pause) end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nwrk-says {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "status_errors": %d, "socket_errors": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
