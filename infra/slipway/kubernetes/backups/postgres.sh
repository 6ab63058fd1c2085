# PostgreSQL's own tools find the server, the database and the password in the environment.
dump() {
  pg_dump --format=custom --no-password --file="$1"
  # It must be one that can be read back.
  pg_restore --list "$1" >/dev/null
}
restore() {
  has=$(psql -XAtq --no-password -c "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_' and c.relkind in ('r', 'p', 'v', 'm', 'S')")
  if [ "$has" != 0 ]; then
    echo "database $PGDATABASE has $has tables, views and sequences: a backup is restored into an empty one" >&2
    exit 1
  fi
  # All of it, or nothing.
  pg_restore --no-password --no-owner --no-privileges --exit-on-error --single-transaction --dbname="$PGDATABASE" "$1"
}
