# Dumping and restoring MySQL or MariaDB: run in its container by `bash -c`, as its administrator
# by the local socket, so that no password is needed.
set -euo pipefail

sql() { mysql --user=root --skip-column-names --raw "$@"; }

# A table's name as SQL: Quay's account may have made tables with any name.
table="CONCAT('\`', REPLACE(table_name, '\`', '\`\`'), '\`')"
tables="FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema"

# dump DATABASE: to standard output, and to standard error a line for each table: rows TABLE COUNT.
# Sessions can't share a snapshot here, so the rows are counted as they go by: one a line, in which
# line breaks are escaped. The tables are those of the database itself.
dump() {
    mysqldump --user=root --single-transaction --skip-extended-insert --no-autocommit --hex-blob \
        "$1" | awk -v tables="$(sql --execute="SELECT table_name $tables = '$1'" | tr '\n' ' ')" '
            BEGIN { split(tables, names, " "); for (i in names) rows[names[i]] = 0 }
            { print }
            /^INSERT INTO `/ { rows[substr($3, 2, length($3) - 2)]++ }
            END { for (name in rows) print "rows", name, rows[name] >"/dev/stderr" }'
}

# load DATABASE OWNER MODEL [temporary]: standard input into a new database. latin1, as Quay's
# widest column needs it; owners are none of MySQL's, an account's rights go by the database's name.
# A temporary one is not written to the binary log, unless the administrator may not say so.
load() {
    local first='DO 0' unlogged='SET SESSION sql_log_bin = 0'
    test "${4-}" != temporary || ! sql --execute="$unlogged" 2>/dev/null || first=$unlogged
    sql --init-command="$first" --execute="CREATE DATABASE \`$1\` CHARACTER SET latin1"
    sql --init-command="$first" --database="$1"
}

rows() {
    sql --execute="SELECT CONCAT('SELECT ''rows'', ', QUOTE(table_name), ', COUNT(*) FROM ',
        $table, ';') $tables = '$1'" | sql --database="$1" | tr '\t' ' '
}

# swap NEW NAME …: a database can't be renamed, but its tables can, all in one statement. A run
# killed just before that leaves an empty database and the note that it is being restored.
swap() {
    drop "$2"
    sql --execute="CREATE DATABASE \`$2\` CHARACTER SET latin1"
    sql --execute="SET SESSION group_concat_max_len = 1048576;
        SELECT CONCAT('RENAME TABLE ', GROUP_CONCAT('\`$1\`.', $table, ' TO \`$2\`.',
        $table)) $tables = '$1'" | sql
}

# drop DATABASE…: what is there of them, and whoever works in it.
drop() {
    local database
    for database; do
        sql --execute="SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist
            WHERE db = '$database'" | sql --force
        sql --execute="DROP DATABASE IF EXISTS \`$database\`"
    done
}

"$@"
