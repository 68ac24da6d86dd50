"""Damage to what is at rest, by the thousand: failing writes, flipped bits, files cut and gone."""
