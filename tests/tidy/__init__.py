"""The shape of the house: layers, files, documents."""
