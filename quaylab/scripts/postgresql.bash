# Dumping and restoring PostgreSQL: run in its container by `bash -c`, as its administrator by the
# local socket, so that no password is needed.
set -euo pipefail

sql() { psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"; }

# A line for each table: rows TABLE COUNT.
count="SELECT format('SELECT %L, count(*) FROM %s', 'rows ' || relname, oid::regclass)
FROM pg_class WHERE relkind = 'r'
AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) \\gexec"

# dump DATABASE: to standard output; its rows, counted in the same snapshot while pushes go on, to
# standard error.
dump() {
    DATABASE=$1 sql --field-separator=' ' --dbname="$1" <<SQL
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_export_snapshot() AS snapshot \\gset
\\setenv SNAPSHOT :snapshot
\\! pg_dump --format=custom --snapshot="\$SNAPSHOT" --dbname="\$DATABASE" || kill "\$PPID"
\\o | cat >&2
$count
SQL
}

# load DATABASE OWNER MODEL …: standard input into a new database, with the model's locale. From
# version 15 on the template, which has no text of ours, is refused if the operating system sorts
# otherwise than the one on which it was made.
load() {
    sql --dbname=postgres --set=new="$1" --set=owner="$2" --set=model="$3" <<'SQL'
SET client_min_messages = warning;
SELECT 'ALTER DATABASE template0 REFRESH COLLATION VERSION'
WHERE current_setting('server_version_num')::int >= 150000 \gexec
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L',
    :'new', :'owner', pg_encoding_to_char(encoding), datcollate, datctype)
FROM pg_database WHERE datname = :'model' \gexec
SQL
    pg_restore --exit-on-error --dbname="$1"
}

rows() { sql --field-separator=' ' --dbname="$1" <<<"$count"; }

# swap NEW NAME OLD: in one transaction, so that the name is never without a database.
swap() {
    sql --dbname=postgres --set=new="$1" --set=name="$2" --set=old="$3" <<'SQL'
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname IN (:'new', :'name') \g /dev/null
BEGIN;
ALTER DATABASE :"name" RENAME TO :"old";
ALTER DATABASE :"new" RENAME TO :"name";
COMMIT;
SQL
}

# drop DATABASE…: what is there of them, and whoever works in it.
drop() {
    local database
    for database; do
        sql --dbname=postgres --set=database="$database" <<'SQL'
SET client_min_messages = warning;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'database' \g /dev/null
DROP DATABASE IF EXISTS :"database";
SQL
    done
}

"$@"
