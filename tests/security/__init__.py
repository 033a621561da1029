"""What an attacker may try, row by row of the catalogue's S-."""
