# Restores one backup with the function `restore`, which a store's own script defines above: the newest, or the one that was named.
set -eu
file="${RESTORE_FILE:-$(ls -1 "$BACKUPS" | grep -E "^$NAME-[0-9]{8}T[0-9]{6}Z\.$SUFFIX\$" | sort | tail -n 1)}"
if [ -z "$file" ] || [ ! -f "$BACKUPS/$file" ]; then
  echo "there is no backup ${file:-of $NAME}; there are:" $(ls -1 "$BACKUPS") >&2
  exit 1
fi
restore "$BACKUPS/$file"
echo "restored $file"
