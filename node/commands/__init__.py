"""One file per command of `minesync`; `node.cli` names them all."""
