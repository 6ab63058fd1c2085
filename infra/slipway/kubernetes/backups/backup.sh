# Makes one backup with the function `dump`, which a store's own script defines above. It gets its name only when it is whole.
set -eu
umask 077
rm -f "$BACKUPS/$NAME-"*".part"
file="$NAME-$(date -u +%Y%m%dT%H%M%SZ).$SUFFIX"
trap 'rm -f "$BACKUPS/$file.part"' EXIT
dump "$BACKUPS/$file.part"
[ -s "$BACKUPS/$file.part" ] || { echo "the backup is empty" >&2; exit 1; }
# Of this file alone: the node has others to write.
sync "$BACKUPS/$file.part"
mv "$BACKUPS/$file.part" "$BACKUPS/$file"
# Only now is there one more: the oldest go.
ls -1 "$BACKUPS" | grep -E "^$NAME-[0-9]{8}T[0-9]{6}Z\.$SUFFIX\$" | sort -r | tail -n "+$((KEEP + 1))" |
  while read -r old; do rm -- "$BACKUPS/$old"; done
echo "made $file"
