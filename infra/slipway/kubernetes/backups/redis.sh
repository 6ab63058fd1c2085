# redis-cli takes the password from the environment.
dump() {
  redis-cli -h "$HOST" -p "$PORT" --rdb "$1" >/dev/null
  redis-check-rdb "$1" >/dev/null
}
# Redis reads a backup only at its start, and not beside an append-only file. So a Redis of the moment reads it, here,
# and hands its keys on, each as it is and with the time that it has left.
restore() {
  has=$(redis-cli -h "$HOST" -p "$PORT" info keyspace | grep -c '^db' || true)
  [ "$(redis-cli -h "$HOST" -p "$PORT" ping)" = PONG ] || { echo "$HOST does not answer, or refuses the password" >&2; exit 1; }
  if [ "$has" != 0 ]; then
    echo "$HOST has keys: a backup is restored into an empty one" >&2
    exit 1
  fi
  socket="$SCRATCH/redis.sock"
  redis-server - <<CONF &
port 0
unixsocket $socket
dir $(dirname "$1")
dbfilename $(basename "$1")
save ""
appendonly no
lua-time-limit 0
CONF
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  here() { env -u REDISCLI_AUTH redis-cli -s "$socket" "$@"; }
  until [ "$(here ping 2>/dev/null)" = PONG ]; do
    kill -0 "$server" || { echo "the backup cannot be read" >&2; exit 1; }
    sleep 0.2
  done
  for number in $(here info keyspace | sed -n 's/^db\([0-9]*\):.*/\1/p'); do
    # The password goes by standard input, as the last argument.
    told=$(printf %s "$REDISCLI_AUTH" | here -n "$number" -x eval "
      local cursor, moved = '0', 0
      repeat
        local page = redis.call('SCAN', cursor, 'COUNT', 500)
        cursor = page[1]
        if #page[2] > 0 then
          redis.call('MIGRATE', ARGV[1], ARGV[2], '', ARGV[3], 60000, 'COPY', 'REPLACE', 'AUTH', ARGV[4], 'KEYS', unpack(page[2]))
          moved = moved + #page[2]
        end
      until cursor == '0'
      return 'moved ' .. moved" 0 "$HOST" "$PORT" "$number")
    case "$told" in
    moved*) echo "database $number: $told" ;;
    *)
      echo "database $number: $told" >&2
      exit 1
      ;;
    esac
  done
}
