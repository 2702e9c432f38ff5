-- Run by set-roles on the leader: all roles, their passwords, and Quay's database.
-- \getenv reads them in psql itself, so that no password is ever an argument.
\set ON_ERROR_STOP on
\getenv user POSTGRESQL_USER
\getenv password POSTGRESQL_PASSWORD
\getenv database POSTGRESQL_DATABASE
\getenv replication_password REPLICATION_PASSWORD
\getenv rewind_password REWIND_PASSWORD

-- The first replica can't connect before its role exists, and until then a synchronous commit waits
-- for ever.
SET synchronous_commit = local;
-- A failing statement is logged with its text, which would hold the password.
SET log_min_error_statement = panic;

SELECT 'CREATE ROLE quaylab_replication'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'quaylab_replication') \gexec
ALTER ROLE quaylab_replication LOGIN REPLICATION PASSWORD :'replication_password';

-- What pg_rewind reads of another member.
SELECT 'CREATE ROLE quaylab_rewind'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'quaylab_rewind') \gexec
ALTER ROLE quaylab_rewind LOGIN PASSWORD :'rewind_password';
GRANT EXECUTE ON FUNCTION
    pg_catalog.pg_ls_dir(text, boolean, boolean),
    pg_catalog.pg_stat_file(text, boolean),
    pg_catalog.pg_read_binary_file(text),
    pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)
TO quaylab_rewind;

SELECT format('CREATE ROLE %I', :'user')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
ALTER ROLE :"user" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'user')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
