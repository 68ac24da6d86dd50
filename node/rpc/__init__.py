"""The door for the operator: JSON-RPC over HTTP."""
