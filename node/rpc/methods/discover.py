"""rpc_discover: every method with its parameters, made from the methods themselves."""

from collections.abc import Sequence
from typing import Any

from node.rpc.method import REQUIRED, Method
from node.version import VERSION


def build_discover(methods: Sequence[Method]) -> Method:
    """Return the method that describes `methods`, in the form of OpenRPC."""
    document = {
        "openrpc": "1.3.2",
        "info": {"title": "minesync", "version": VERSION},
        "methods": [_describe(method) for method in sorted(methods, key=lambda one: one.name)],
    }
    return Method("rpc_discover", lambda peer: document, "Every method with its parameters.")


def _describe(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "summary": method.doc,
        "paramStructure": "either",
        "params": [
            {
                "name": param.name,
                "required": param.default is REQUIRED,
                "schema": {"description": param.kind},
            }
            for param in method.params
        ],
        "result": {"name": "result", "schema": {}},
    }
