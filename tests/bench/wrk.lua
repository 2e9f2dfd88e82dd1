-- Posts what is in the file that the first argument names; prints what came of it as one line of JSON.

function init(args)
    local file = assert(io.open(args[1], "rb"))
    wrk.method = "POST"
    wrk.body = file:read("*a")
    file:close()
    -- Made once: the same bytes each time.
    local whole = wrk.format()
    wrk.request = function() return whole end
end

function done(summary)
    local errors = summary.errors
    print(string.format('\n{"requests": %d, "microseconds": %d, "errors": %d}', summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
