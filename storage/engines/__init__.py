"""The places that rows are kept in: one module for each kind of database."""
