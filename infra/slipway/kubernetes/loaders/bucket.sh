# Loads a model from a bucket into a folder, by rclone, in rclone's own image (busybox).
# The folder gets its name only when it is whole and checked, so that one of that name needs no second look; what was cut is resumed.
set -eu
root=$(dirname "$TARGET")
part="$TARGET.part"
mkdir -p "$root"
# Several servers may share the volume: the first loads, the others wait for it. The lock goes with the process.
exec 9>"$TARGET.lock"
flock 9
if [ -d "$TARGET" ]; then
  echo "$TARGET is there"
  exit 0
fi
if [ "${MAKE_ROOM:-}" = 1 ]; then
  # Keep the version before this one, for a rollback, and no others: the volume has room for two.
  for old in "$root"/*.part; do
    if [ -d "$old" ] && [ "$old" != "$part" ]; then rm -rf "$old"; fi
  done
  find "$root" -mindepth 1 -maxdepth 1 -type d ! -name '*.part' -exec stat -c '%Y %n' {} + | sort -rn | tail -n +2 | cut -d' ' -f2- |
    while read -r old; do rm -rf "$old"; done
fi
# What is left of another try and not in the bucket would be taken for the model's.
rclone sync "source:$SOURCE" "$part" --retries 5 --stats 60s --stats-one-line --stats-log-level NOTICE
refuse() {
  echo "$1" >&2
  rm -rf "$part"
  exit 1
}
cd "$part"
[ -f SHA256SUMS ] || refuse "$SOURCE has no SHA256SUMS"
found=$(sha256sum SHA256SUMS | cut -d' ' -f1)
[ "$found" = "$SHA256" ] || refuse "$SOURCE/SHA256SUMS has SHA-256 $found, and $SHA256 was told"
# A file that is not listed would not be checked.
find . -type f ! -path ./SHA256SUMS | sed 's|^\./||' | sort >/tmp/found
sed -e 's/^[0-9a-f]* [ *]//' -e 's|^\./||' SHA256SUMS | sort >/tmp/listed
cmp -s /tmp/found /tmp/listed || refuse "$SOURCE has other files than its SHA256SUMS lists: $(diff /tmp/found /tmp/listed | grep '^[<>+-][^+-]' | head -n 5 | tr '\n' ' ')"
sha256sum -c SHA256SUMS >/tmp/sums 2>&1 || refuse "$SOURCE differs from its SHA256SUMS: $(grep -v ': OK$' /tmp/sums | head -n 5 | tr '\n' ' ')"
cd "$root"
sync
mv "$part" "$TARGET"
echo "$TARGET is loaded"
