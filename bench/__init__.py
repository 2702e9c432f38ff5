"""How fast Quaylab is, compared with a shell script and Ansible; see README.md."""
