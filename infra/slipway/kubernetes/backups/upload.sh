# Brings the backup that was just made into a bucket, by rclone, in rclone's own image (busybox), and has the oldest there go.
set -eu
rclone copy "$BACKUPS" "target:$TARGET" --include "$NAME-*.$SUFFIX" --immutable --retries 5 --stats 60s --stats-one-line
rclone lsf "target:$TARGET" --files-only --include "$NAME-*.$SUFFIX" | grep -E "^$NAME-[0-9]{8}T[0-9]{6}Z\.$SUFFIX\$" | sort -r |
  tail -n "+$((KEEP + 1))" | while read -r old; do rclone deletefile "target:$TARGET/$old"; done
