"""Every file that passes between the steps: its schema, its reader and its writer."""
