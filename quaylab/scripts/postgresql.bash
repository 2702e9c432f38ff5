# Dumping and restoring PostgreSQL: run in its container by `bash -c`.
set -euo pipefail

# What runs inside Quay's database runs in a session that Quay's role has opened: that role owns the
# database, and a compromised Quay may have put functions and views there for a superuser to call
# (CVE-2018-1058). SET ROLE would not do: a function can RESET it.
# shellcheck source=/dev/null
. /etc/quaylab/environment
quay() { PGHOST=127.0.0.1 PGUSER=$POSTGRESQL_USER PGPASSWORD=$POSTGRESQL_PASSWORD "$@"; }

sql() { psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"; }

# The superuser, by the local socket, so that no password is needed. Before PostgreSQL 15 everybody
# may make functions in the database postgres as well.
administrator() { PGOPTIONS='-c search_path=pg_catalog' sql "$@"; }

# A line for each table: rows TABLE COUNT.
count="SELECT format('SELECT %L, count(*) FROM %s', 'rows ' || relname, oid::regclass)
FROM pg_class WHERE relkind = 'r'
AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) \\gexec"

# dump DATABASE: to standard output; its rows, counted in the same snapshot while pushes go on, to
# standard error.
dump() {
    DATABASE=$1 quay sql --field-separator=' ' --dbname="$1" <<SQL
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
# otherwise than the one on which it was made. Nobody but a superuser gets in before it is Quay's:
# the limit of connections doesn't hold for superusers, and before version 13 nobody else may make
# the extension.
load() {
    administrator --dbname=postgres --set=new="$1" --set=model="$3" <<'SQL'
SET client_min_messages = warning;
SELECT 'ALTER DATABASE template0 REFRESH COLLATION VERSION'
WHERE current_setting('server_version_num')::int >= 150000 \gexec
SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L '
    'CONNECTION LIMIT 0', :'new', pg_encoding_to_char(encoding), datcollate, datctype)
FROM pg_database WHERE datname = :'model' \gexec
SQL
    administrator --dbname="$1" --command='CREATE EXTENSION pg_trgm SCHEMA public'
    administrator --dbname=postgres --set=new="$1" --set=owner="$2" <<'SQL'
ALTER DATABASE :"new" OWNER TO :"owner";
ALTER DATABASE :"new" CONNECTION LIMIT -1;
SQL
    restore "$1"
}

# restore DATABASE: standard input into it, without the comments on extensions, which only their
# owner may set.
restore() {
    local -a restore=(quay pg_restore --exit-on-error --no-owner --dbname="$1")
    if [[ $(pg_restore --help) == *--no-comments* ]]; then
        "${restore[@]}" --no-comments
    else # before version 11
        local file=/tmp/quaylab-restore
        (umask 077 && cat >"$file")
        "${restore[@]}" --use-list=<(pg_restore --list "$file" | grep -v ' COMMENT - ') "$file"
        rm "$file"
    fi
}

rows() { quay sql --field-separator=' ' --dbname="$1" <<<"$count"; }

# swap NEW NAME OLD: in one transaction, so that the name is never without a database.
swap() {
    administrator --dbname=postgres --set=new="$1" --set=name="$2" --set=old="$3" <<'SQL'
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
        administrator --dbname=postgres --set=database="$database" <<'SQL'
SET client_min_messages = warning;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'database' \g /dev/null
DROP DATABASE IF EXISTS :"database";
SQL
    done
}

"$@"
