"""The method `operator`: the registry is made by Quay's operator, which OLM installs."""
