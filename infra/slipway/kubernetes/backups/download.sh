# Brings the backup that is to be restored from a bucket, by rclone: the newest, or the one that was named.
set -eu
file="${RESTORE_FILE:-$(rclone lsf "target:$TARGET" --files-only --include "$NAME-*.$SUFFIX" | grep -E "^$NAME-[0-9]{8}T[0-9]{6}Z\.$SUFFIX\$" | sort | tail -n 1)}"
if [ -z "$file" ]; then
  echo "there is no backup of $NAME in $TARGET" >&2
  exit 1
fi
rclone copyto "target:$TARGET/$file" "$BACKUPS/$file" --retries 5 --stats 60s --stats-one-line
