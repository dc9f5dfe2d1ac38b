"""Both sides of links beside each other: what agrees, what does not, and what that proves for the next time."""
