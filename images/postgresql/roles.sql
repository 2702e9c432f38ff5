-- Run at every start: the role, its database, and the passwords of the environment.
-- \getenv reads them in psql itself, so that no password is ever an argument.
\set ON_ERROR_STOP on
\getenv user POSTGRESQL_USER
\getenv password POSTGRESQL_PASSWORD
\getenv database POSTGRESQL_DATABASE
\getenv admin_password POSTGRESQL_ADMIN_PASSWORD

-- A failing statement is logged with its text, which would hold the password.
SET log_min_error_statement = panic;

SELECT format('CREATE ROLE %I', :'user')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
ALTER ROLE :"user" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'user')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

\if :{?admin_password}
ALTER ROLE postgres PASSWORD :'admin_password';
\endif
