"""A server of the Model Context Protocol: assistants inspect and hide files in folders that the operator names."""
